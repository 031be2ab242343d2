import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.ingest.common.IngestCommonPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One OpenSearch node in this process, for tests. Arguments are settings: {@code key=value}. */
public final class OpenSearchNode extends Node {
    private OpenSearchNode(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test-node"),
            List.of(Netty4Plugin.class, IngestCommonPlugin.class),
            false);
    }

    @Override
    protected void configureNodeAndClusterIdStateListener(org.opensearch.cluster.service.ClusterService service) {
        // Only names the log lines; log4j runs without a configuration here.
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder()
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        OpenSearchNode node = new OpenSearchNode(settings.build());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException error) {
                System.err.println(error);
            }
        }));
        node.start();
        Thread.currentThread().join();
    }
}
