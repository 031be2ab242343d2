#!/bin/sh
# Whether the judge is worth what is said of it: tests/judgement.sh SETS_DIR [PROTOCOLS]
#
# SETS_DIR holds labelled sets: folders with events.jsonl[.gz] and labels.jsonl[.gz], of which one has a name that ends
# in `-quiet` and no hostile events (the reference), and perhaps geo/asn.mmdb and geo/country.mmdb (address tables).
# Builds the release, runs `panicsift train SET... --reference QUIET --without-samples --validate[=PROTOCOLS]` (`train
# --help` names the protocols; all of them take an hour or more) and prints what it says. Then it replays each set with
# the built-in model. Where an independent scorer, score.py, lies in SETS_DIR, its figures are compared with those that
# train's own scorer gave for the same model: a difference in the last digit fails. Writes to a folder of its own, which
# is removed. Needs cargo, gunzip and, for the comparison, python3.
set -eu
sets=$(cd "${1:?which folder holds the sets? tests/judgement.sh SETS_DIR [PROTOCOLS]}" && pwd)
protocols=${2:-}
cd "$(dirname "$0")/.."
cargo build --locked --release
panicsift=${CARGO_TARGET_DIR:-$PWD/target}/release/panicsift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

set --
tables=
[ ! -f "$sets/geo/asn.mmdb" ] || set -- --asn "$sets/geo/asn.mmdb"
[ ! -f "$sets/geo/country.mmdb" ] || tables="--country=$sets/geo/country.mmdb"

named= reference= all=
for labels in "$sets"/*/labels.jsonl*; do
    name=$(basename "$(dirname "$labels")")
    all="$all $name"
    case $name in
    *-quiet) reference=$name ;;
    *) named="$named $name" ;;
    esac
done
[ -n "$named" ] && [ -n "$reference" ] || { echo "$sets: labelled sets and one NAME-quiet are needed" >&2; exit 2; }

# The model as it is is always among the protocols: it is what is replayed.
if [ -n "$protocols" ]; then validate="--validate=shipped,$protocols"; else validate=--validate; fi
# Names of sets are words of the command line.
# shellcheck disable=SC2086
(cd "$sets" && "$panicsift" train $named --reference "$reference" --without-samples "$validate" \
    --figures "$work/figures" "$@")

for name in $all; do
    events=$(ls "$sets/$name"/events.jsonl* | head -n 1)
    # shellcheck disable=SC2086
    "$panicsift" replay "$@" $tables --assignments "$work/assignments" --alerts "$work/alerts" "$events" >"$work/replay"
    [ -f "$sets/score.py" ] || { echo "$name: replayed; there is no $sets/score.py to compare with"; continue; }
    # What operations are alerted on is no word of the judge.
    grep '"category":"hostile_input"' "$work/alerts" >"$work/judged" || true
    python3 "$sets/score.py" "$sets/$name" "$work/assignments" "$work/judged" >"$work/scored"
    python3 - "$name" "$work/figures" "$work/scored" <<'END'
import json, math, sys
name, figures, scored = sys.argv[1:]
ours = next(f for f in map(json.loads, open(figures)) if f["protocol"] == "shipped" and f["tested"] == name)
theirs = json.load(open(scored))
truth = theirs.get("alerts_by_truth", {})
theirs.update({f"alerts_{kind}": truth.get(kind, 0) for kind in ("hostile", "benign", "unknown")})
def plain(value):
    if isinstance(value, list):
        return sorted(value)
    if isinstance(value, float) and math.isinf(value):
        return None
    return value
# Without a hostile campaign there is nothing to find.
skipped = {"events_to_detect_median", "seconds_to_detect_median"} if not theirs["campaigns"] else set()
both = [key for key in ours if key in theirs and key not in skipped]
wrong = [key for key in both if plain(ours[key]) != plain(theirs[key])]
for key in wrong:
    print(f"{name}: {key}: train says {ours[key]}, score.py {theirs[key]}", file=sys.stderr)
print(f"{name}: {len(both) - len(wrong)} of {len(both)} figures agree with score.py")
sys.exit(bool(wrong) or len(both) < 10)
END
done
