#!/usr/bin/env python3
"""Makes the tiny address tables of other layouts: pip install mmdb-writer==0.2.7; python make.py OUT_DIR.

One file per layout that vendors ship (GeoLite2's nested country, IPinfo's texts) and per integer width that writers
choose; all addresses are from documentation ranges (RFC 5737, RFC 3849) or from networks that everybody knows.
"""

import pathlib
import sys

from mmdb_writer import MMDBWriter
from netaddr import IPSet

TABLES = {
    "country-nested": ("GeoLite2-Country", "u32", {
        "81.2.69.0/24": {"continent": {"code": "EU"}, "country": {"geoname_id": 2635167, "iso_code": "GB",
                         "names": {"en": "United Kingdom"}}, "registered_country": {"iso_code": "US"}},
        "2a02:d300::/32": {"country": {"iso_code": "UA"}},
        "81.2.70.0/24": {"registered_country": {"iso_code": "US"}},
    }),
    "country-text": ("ipinfo country", "u32", {
        "81.2.69.0/24": {"country": "gb", "country_name": "United Kingdom"},
        "81.2.70.0/24": {"country": "Great Britain", "country_code": "GB"},
        "81.2.71.0/24": {"country": 826},
    }),
    "asn-u16": ("asn", "u16", {
        "81.2.69.0/24": {"autonomous_system_number": 20712, "autonomous_system_organization": "Andrews & Arnold Ltd"},
        "81.2.70.0/24": {"autonomous_system_number": 20712, "autonomous_system_organization": "evil\u202e\u001b[2J\nname"},
        "81.2.71.0/24": {"autonomous_system_number": 1, "autonomous_system_organization": "x" * 5000},
    }),
    "asn-u64": ("asn", "u64", {
        "81.2.69.0/24": {"autonomous_system_number": 20712, "autonomous_system_organization": "Andrews & Arnold Ltd"},
        "81.2.70.0/24": {"autonomous_system_number": 2 ** 40, "autonomous_system_organization": "no such number"},
    }),
    "asn-text": ("ipinfo standard_asn", "u32", {
        "81.2.69.0/24": {"asn": "AS20712", "as_name": "Andrews & Arnold Ltd", "as_domain": "aa.net.uk"},
        "81.2.70.0/24": {"asn": "AS64500", "name": "Example Net", "domain": "example.net"},
        "81.2.71.0/24": {"asn": "none", "name": ["not", "a", "text"]},
    }),
    "other": ("city", "u32", {"81.2.69.0/24": {"city": "London", "location": {"latitude": 51.5}}}),
}


def main(out):
    for name, (database_type, int_type, rows) in TABLES.items():
        writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=database_type, int_type=int_type)
        for network, row in rows.items():
            writer.insert_network(IPSet([network]), row)
        path = pathlib.Path(out) / f"{name}.mmdb"
        writer.to_db_file(str(path))
        print(path, path.stat().st_size)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
