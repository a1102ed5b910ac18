"""Every type of PostgreSQL with the values at its edges, as literals that its input function reads.

A type without values here has no input that makes one: its column holds NULL, and `WITHOUT_VALUES` says why.
"""

from __future__ import annotations

SETUP = """
CREATE TABLE kinds.mixed ();
CREATE TABLE kinds."Odd, ""Class" ();
CREATE TYPE kinds.mood AS ENUM ('sad', 'ok', 'Ok', '', ' ', 'NULL', 'a,b', '"q"', 'o''k', '{x}', '(y)', E'new\\nline',
    E'back\\\\slash', 'größe');
CREATE TYPE kinds.pair AS (a int, "B, b" text, c text[], d timestamptz, e bytea);
CREATE TYPE kinds.nest AS (p kinds.pair, ps kinds.pair[], m kinds.mood, r int4range);
CREATE TYPE kinds.textrange AS RANGE (subtype = text, multirange_type_name = kinds.textmultirange);
CREATE TYPE kinds.floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN kinds.label AS text CHECK (length(value) < 100);
CREATE DOMAIN kinds.code AS char(4);
CREATE DOMAIN kinds.amount AS numeric(20, 4);
CREATE DOMAIN kinds.free_amount AS numeric;
CREATE DOMAIN kinds.positive AS kinds.amount CHECK (value > 0);
CREATE DOMAIN kinds.day AS date;
CREATE DOMAIN kinds.moment AS timestamptz(3);
CREATE DOMAIN kinds.numbers AS int[];
CREATE DOMAIN kinds.labels AS kinds.label[];
CREATE DOMAIN kinds.temper AS kinds.mood;
CREATE DOMAIN kinds.couple AS kinds.pair;
CREATE DOMAIN kinds.span AS daterange;
"""

TEXTS = [
    "plain", "", " ", " padded ", ",", '"', '""', 'a"b', "'", "a\nb", "a\r\nb", "\r", "\n", "\t", "\\", "\\.", "\\N",
    "NULL", "null", "{}", "{a,b}", "(1,2)", "a;b", "#", "$1", "?", "日本 😀", "e\u0301",
    "\ufeffbom", "\x01\x1b\x1f\x7f", "\x1a", "\x85\u2028\u00a0", "x" * 100_000,
]  # fmt: skip

_NUMERIC = ["NaN", "0", "1", "-1", "0.1", "-0.5"]
_FREE_NUMERIC = [
    *_NUMERIC, "Infinity", "-Infinity", "0.000", "1e-1000", "-1e-1000", "1e1000", "1e131071", "1e-16383",
    "12345678901234567890123456789012345678901234567890.12345678901234567890123456789",
    "0.1000000000000000000000000010",
]  # fmt: skip
_FLOAT = ["NaN", "Infinity", "-Infinity", "0", "-0", "0.1", "1", "-1.5", "16777217", "1e15", "1e-5", "3.4028235e38"]

_DAYS = [
    "0001-01-01", "0001-12-31 BC", "0044-03-15 BC", "1500-02-28", "1582-10-04", "1582-10-05", "1582-10-14",
    "1582-10-15", "1883-11-18", "1900-01-01", "1900-03-01", "1969-12-31", "1970-01-01", "2000-02-29", "2024-02-29",
    "2024-12-31", "9999-12-31", "10000-01-01", "-infinity", "infinity",
]  # fmt: skip
_DATE = [*_DAYS, "4714-11-24 BC", "5874897-12-31"]
_TIMESTAMP = [
    *_DAYS, "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "294246-12-31 23:59:59.999999",
    "294247-01-10 04:00:54.775807", "1970-01-01 00:00:00.000001", "1969-12-31 23:59:59.999999", "2024-01-01 12:00:00.1",
    "0001-01-01 00:00:00.000001", "1582-10-10 12:34:56.123456",
    "2024-03-10 02:30:00", "2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-11-03 01:30:00", "2011-12-30 12:00:00",
]  # fmt: skip
_TIMESTAMPTZ = [
    *(f"{moment[:-3]}+00 BC" if moment.endswith("BC") else moment if "inf" in moment else f"{moment}+00"
      for moment in _TIMESTAMP),
    "2024-03-10 06:59:59.999999+00", "2024-03-10 07:00+00", "2024-11-03 01:30-04", "2024-11-03 01:30-05",
    "1883-11-18 12:03:57-04:56:02",
]  # fmt: skip
# Rounded, the last microsecond is a moment that PostgreSQL holds and does not read.
_ROUNDED = [moment for moment in _TIMESTAMP if not moment.endswith(".999999")]
_ROUNDED_TZ = [moment for moment in _TIMESTAMPTZ if ".999999" not in moment]
_TIME = ["00:00:00", "24:00:00", "23:59:59.999999", "00:00:00.000001", "12:34:56.1", "02:30"]
_TIMETZ = ["00:00:00+00", "24:00:00-15:59", "23:59:59.999999+15:59", "12:34:56.1+05:30", "00:00:00.000001+00:00:01"]
_INTERVAL = [
    "0", "1 year 2 mons 3 days 04:05:06.789", "-1 mon +2 days -03:04:05.000001", "178000000 years", "-178000000 years",
    "2147483647 days", "-2147483648 days", "1 mon -30 days", "00:00:00.000001", "-00:00:00.000001", "100000:00:00",
    "-1 year -2 mons +1 day 00:00:00.1",
]  # fmt: skip
_BITS = ["0", "1", "10101010", "1111111100000000111"]

SCALARS: dict[str, list[str]] = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767", "0"],
    "integer": ["-2147483648", "2147483647", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "0"],
    "real": [*_FLOAT, "1e-45", "1.17549435e-38", "8.5899346e9"],
    "double precision": [
        *_FLOAT, "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.30000000000000004",
        "123456789012345678", "4.940656458412465e-324",
    ],
    "numeric": _FREE_NUMERIC,
    "numeric(9)": [*_NUMERIC, "999999999"],
    "numeric(12,2)": [*_NUMERIC, "9999999999.99", "-9999999999.99", "0.005"],
    "numeric(18,4)": [*_NUMERIC, "99999999999999.9999"],
    "numeric(38,0)": [*_NUMERIC, "9" * 38, "-" + "9" * 38],
    "numeric(38,18)": [*_NUMERIC, f"{'9' * 20}.{'9' * 18}"],
    "numeric(38,38)": ["NaN", "0", f"0.{'9' * 38}", f"-0.{'0' * 37}1"],
    "numeric(39,5)": [*_NUMERIC, f"{'9' * 34}.99999"],
    "numeric(1000,500)": [*_NUMERIC, f"{'9' * 500}.{'1' * 500}"],
    "numeric(3,-4)": ["NaN", "0", "9990000", "-12345"],
    "numeric(2,5)": ["NaN", "0", "0.00099", "-0.00001"],
    "money": ["-92233720368547758.08", "92233720368547758.07", "0", "-0.01"],
    "text": TEXTS,
    "character varying": TEXTS,
    "character varying(5)": ["", "abcde", " a,\"b", "日本語😀", "\r\n"],
    "character(1)": ["", "a", "\n", '"', "ä"],
    "character(5)": ["", "abcde", "ab", " a,\"b", "日本"],
    "bpchar": ["", "ab", "ab   ", " a,\"b", "日本", "x" * 1000],
    '"char"': ["", "a", '"', ",", "\n", " ", "\\"],
    "name": ["", "plain", ' a,"b', "日本", "n" * 63],
    "bytea": ["", "\\x00", "\\x" + bytes(range(256)).hex(), "\\x" + "0d0a225c2c" * 1000, "\\xffff"],
    "bit(1)": ["0", "1"],
    "bit(8)": ["00000000", "10101010"],
    "bit varying": ["", *_BITS],
    "bit varying(19)": ["", *_BITS],
    "date": _DATE,
    "time": _TIME,
    "time(0)": _TIME,
    "time(3)": _TIME,
    "time with time zone": _TIMETZ,
    "time(3) with time zone": _TIMETZ,
    "timestamp": _TIMESTAMP,
    "timestamp(0)": _ROUNDED,
    "timestamp(3)": _ROUNDED,
    "timestamp with time zone": _TIMESTAMPTZ,
    "timestamp(0) with time zone": _ROUNDED_TZ,
    "timestamp(3) with time zone": _ROUNDED_TZ,
    "interval": _INTERVAL,
    "interval(3)": _INTERVAL,
    "interval year to month": ["0", "1 year 2 mons", "-1 year +2 mons"],
    "interval day to second(2)": ["0", "3 days 04:05:06.789", "-1 day +00:00:00.01"],
    "point": ["(0,0)", "(1e-300,-1e300)", "(NaN,Infinity)", "(0.1,-0)"],
    "line": ["{1,-1,0}", "{0.1,0.2,1e-300}"],
    "lseg": ["[(0,0),(1,1)]", "[(0.1,-1e300),(NaN,Infinity)]"],
    "box": ["(1,1),(0,0)", "(1e300,0.1),(-1e300,-0.1)"],
    "path": ["[(0,0),(1,1),(2,0)]", "((0,0),(1,1),(2,0.1))"],
    "polygon": ["((0,0))", "((0,0),(1,1),(2,0.1))"],
    "circle": ["<(0,0),0>", "<(0.1,-2),1e300>"],
    "inet": ["192.168.0.1", "10.1.2.3/8", "0.0.0.0/0", "::1", "2001:db8::ffff/64", "::ffff:1.2.3.4"],
    "cidr": ["192.168.0.0/24", "0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32", "::1/128"],
    "macaddr": ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:00"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ["null", '{"a" : 1,  "a":2}', '[1e400, "\\u00e4\\n", {}]\n', '""', '"a,\\"b"'],
    "jsonb": ["null", '{"b": 1, "a": [2, {"c": "x,\\"y"}]}', "[1e400, -0.10, true]", '"日本\\\\"', "{}"],
    "jsonpath": ["$", '$.a[*] ? (@.b > 1 && @.c == "x,y")', 'strict $."q\\"k"'],
    "tsvector": ["", "a:1A b:2,3B", "'it''s' 'a,b' '\"x\"'", "'back\\\\slash' 日本"],
    "tsquery": ["", "a & !b | (c <2> d:*AB)", "'it''s' & 'a,b' & '\"x\"'"],
    "oid": ["0", "4294967295"],
    "regclass": ["pg_class", "kinds.mixed", '"kinds"."Odd, ""Class"'],
    "regcollation": ["-", '"C"', '"POSIX"'],
    "regconfig": ["simple", "english"],
    "regdictionary": ["simple"],
    "regnamespace": ["-", "pg_catalog", "kinds"],
    "regoper": ["0", "pg_catalog.||/"],
    "regoperator": ["0", "+(integer,integer)", "!!(NONE,tsquery)"],
    "regproc": ["-", "pg_catalog.now", "array_send"],
    "regprocedure": ["-", "abs(numeric)", "substring(text,integer,integer)"],
    "regrole": ["-", "pg_monitor"],
    "regtype": ["-", "integer", '"char"', "kinds.mood", "timestamp with time zone", "text[]"],
    "xid": ["0", "4294967295"],
    "xid8": ["0", "18446744073709551615"],
    "cid": ["0", "4294967295"],
    "tid": ["(0,0)", "(4294967295,65535)"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "pg_snapshot": ["10:20:10,14,15", "1:1:"],
    "txid_snapshot": ["10:20:10,14,15", "1:1:"],
    "int2vector": ["", "1 2 -3"],
    "oidvector": ["", "1 2 4294967295"],
    "aclitem": ["=r/pg_monitor", "pg_monitor=arwdDxt*/pg_monitor"],
    "refcursor": ["", 'c,"1'],
    "int4range": ["empty", "[1,10)", "(,)", "[,5)", "[2147483646,)"],
    "int8range": ["empty", "[1,10)", "(,)", "[-9223372036854775808,5)"],
    "numrange": ["empty", "[0.10,1e100]", "(,)", "(-Infinity,NaN]"],
    "daterange": ["empty", "[0044-03-15 BC,2024-02-29)", "[-infinity,infinity]", "(,2024-01-01)"],
    "tsrange": ["empty", '["2024-01-01 00:00:00.000001",infinity)', "(,)", '("0044-03-15 00:00:00 BC",2024-01-01]'],
    "tstzrange": ["empty", '["2024-03-10 06:59:59.999999+00",infinity]', '(,"1582-10-10 00:00:00+00"]'],
    "int4multirange": ["{}", "{[1,2),[5,6)}", "{(,)}"],
    "int8multirange": ["{}", "{[1,2),[5,)}"],
    "nummultirange": ["{}", "{[0.1,0.20],(1e100,)}"],
    "datemultirange": ["{}", "{[2024-01-01,2024-02-01),[2024-03-01,infinity]}"],
    "tsmultirange": ["{}", '{["2024-01-01 00:00:00.000001","2024-02-01"),[2024-03-01,)}'],
    "tstzmultirange": ["{}", '{["2024-01-01 00:00:00.000001+00","2024-02-01 00:00+00"),[2024-03-01 00:00+00,)}'],
    "kinds.mood": [
        "sad", "ok", "Ok", "", " ", "NULL", "a,b", '"q"', "o'k", "{x}", "(y)", "new\nline", "back\\slash", "größe",
    ],
    "kinds.textrange": ["empty", '["a,b","c""d")', "(,)", '["",\\\\]', '["\\"",x]'],
    "kinds.textmultirange": ["{}", '{["a,b","c""d"),["x",)}'],
    "kinds.floatrange": ["empty", "[0.1,0.30000000000000004)", "[-Infinity,NaN]"],
    "kinds.pair": [
        "(,,,,)", '(1,"","{}",,)',
        '(-1,"a,""b\\\\)","{NULL,"""",""x,y""}","2024-01-01 00:00:00.000001+00","\\\\x00ff")',
        '(0,"\n","{{a,b},{c,d}}",infinity,"\\\\x")',
    ],
    "kinds.nest": ["(,,,)", '("(1,x,,,)","{""(2,\\\\""a,b\\\\"",,,)"",NULL}","new\nline","[1,5)")'],
    "kinds.label": TEXTS[:-1],
    "kinds.code": ["", "ab", "abcd"],
    "kinds.amount": [*_NUMERIC, "9999999999999999.9999"],
    "kinds.free_amount": _FREE_NUMERIC,
    "kinds.positive": ["NaN", "0.0001", "9999999999999999.9999"],
    "kinds.day": _DATE,
    "kinds.moment": _ROUNDED_TZ,
    "kinds.numbers": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
    "kinds.labels": ["{}", '{"a,b",NULL,"NULL","","\\"","\\\\"}'],
    "kinds.temper": ["sad", "", 'new\nline', "NULL"],
    "kinds.couple": ["(,,,,)", '(1,"","{}",,)'],
    "kinds.span": ["empty", "[0044-03-15 BC,2024-02-29)"],
    "information_schema.cardinal_number": ["0", "2147483647"],
    "information_schema.character_data": TEXTS[:5],
    "information_schema.sql_identifier": ["", 'a,"b'],
    "information_schema.time_stamp": ["2024-01-01 00:00:00.12+00", "infinity"],
    "information_schema.yes_or_no": ["YES", "NO"],
}  # fmt: skip

FILLED = """
CREATE TABLE kinds.defaulted (a int DEFAULT length('"x,y"'), b int);
INSERT INTO kinds.defaulted SELECT n % 3, n % 3 FROM generate_series(1, 100) n;
CREATE STATISTICS kinds.filling ON a, b FROM kinds.defaulted;
ANALYZE kinds.defaulted;
CREATE TABLE kinds.filled AS
SELECT 1 AS id, '2024-01-15'::timestamp AS at, adbin AS pg_node_tree, n_distinct AS pg_ndistinct,
    dependencies AS pg_dependencies
FROM pg_attrdef, pg_stats_ext WHERE adrelid = 'kinds.defaulted'::regclass AND statistics_name = 'filling';
"""

UNREADABLE = ("pg_node_tree", "pg_ndistinct", "pg_dependencies")
"""Types that refuse their own text, so that no literal makes a value."""

WITHOUT_VALUES = {
    "gtsvector": "found in GiST indexes only",
    "pg_brin_bloom_summary": "found in BRIN indexes only",
    "pg_brin_minmax_multi_summary": "found in BRIN indexes only",
    "pg_mcv_list": "found in a catalog of superusers only",
    "xml": "the embedded PostgreSQL is built without libxml; tried on Debian's",
}
"""Types whose column holds NULL only, and why."""

EXTENSIONS: dict[str, dict[str, list[str]]] = {
    "hstore": {"public.hstore": ["", '"a"=>"1", "b"=>NULL', '"k,\\"q"=>"\\\\, \n", "NULL"=>"NULL"', '""=>""']},
    "citext": {"public.citext": TEXTS[:-1]},
    "ltree": {
        "public.ltree": ["", "Top.Science.Astronomy"],
        "public.lquery": ["Top.*{0,2}.sport*@.!football|tennis.Russ*|Spain"],
        "public.ltxtquery": ["Europe & Russia*@ & !Transportation"],
    },
    "cube": {"public.cube": ["(0)", "(1, 2),(0.1, -1e+300)"]},
    "seg": {"public.seg": ["1", "1 .. 2", "<2.50", "3.1(+-)0.1"]},
    "isn": {"public.isbn13": ["978-0-393-04002-9"]},
}
"""Types of contrib, by extension."""

XML = ["<a/>", '<?xml version="1.0"?><a b="c,d">x\n<!-- "q" --></a>', "text <b/> tail", ""]
