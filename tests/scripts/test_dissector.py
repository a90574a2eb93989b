#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/shila.lua over the vectors: a capture is made of tests/vectors/frame_*.hex and scion_*.hex, read by
tshark, and what it shows is compared with the table below. Exit 77 (skipped) without tshark.
"""

import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
sys.dont_write_bytecode = True
sys.path.insert(0, str(VECTORS))
import make_frame  # noqa: E402

CLIENT, SERVER = ("1-64512", "10.1.0.2"), ("2-ff00:0:112", "fd00::2")


def vector(name):
    text = (VECTORS / f"{name}.hex").read_text(encoding="ascii")
    return bytes.fromhex("".join(line.split("#")[0] for line in text.splitlines()))


def isd_as(text):
    isd, number = text.split("-")
    groups = number.split(":")
    if len(groups) == 1:
        return struct.pack(">HHI", int(isd), 0, int(number))
    return struct.pack(">HHHH", int(isd), *(int(g, 16) for g in groups))


def scion(src, dst, flow_id, payload, ports=(31000, 31001), proto=17):
    """A SCION packet with one segment of two hops."""
    src_host, dst_host = make_frame.address(src[1]), make_frame.address(dst[1])
    addresses = isd_as(dst[0]) + isd_as(src[0]) + dst_host + src_host
    udp = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    pseudo = addresses + struct.pack(">II", len(udp), 17)
    udp = udp[:6] + struct.pack(">H", make_frame.checksum(pseudo + udp)) + udp[8:]
    path = bytes.fromhex("00002000 01001234 66000000 003f00000001aabbccddeeff 003f00290000112233445566")
    size = 12 + len(addresses) + len(path)
    kinds = (3 if len(dst_host) == 16 else 0) << 4 | (3 if len(src_host) == 16 else 0)
    return struct.pack(">IBBHBBH", flow_id, proto, size // 4, len(udp), 1, kinds, 0) + addresses + path + udp


def up(name, flow_id=12):
    return scion(CLIENT, SERVER, flow_id, vector("frame_" + name))


def down(name, flow_id=34):
    return scion(SERVER, CLIENT, flow_id, vector("frame_" + name), (31001, 31000))


CHANGED = bytearray(vector("frame_data"))
CHANGED[20] = 0x40

# Bytes in an underlay datagram, then what is shown: protocol, info, stream, flow, from, and one more field.
ROWS = [
    (up("hello"), "SHILA", "HELLO boot 1122334455667788 workers 2", "", "", "", ("shila.worker_port", "31000,31001")),
    (down("hello_ack"), "SHILA", "HELLO-ACK boot 99aabbccddeeff01 workers 8", "", "", "",
     ("shila.cookie", "0x0badcafe12345678")),
    (up("open_main4"), "SHILA", "OPEN from 12 main TCP 10.7.1.1:40000 > ingress:5201 SYN", "0", "", "12",
     ("shila.tcp.mptcp", "MP_CAPABLE")),
    (up("open_main4"), "SHILA", "OPEN from 12 main TCP 10.7.1.1:40000 > ingress:5201 SYN", "0", "", "12",
     ("shila.tcp.rel_seq", "0")),
    (down("accept"), "SHILA", "ACCEPT flow 12 from 34 port 31001 SYN ACK", "0", "12", "34",
     ("shila.inner", "10.7.1.1:40000 > ingress:5201")),
    (up("data"), "SHILA", "DATA flow 34 seq 1 len 12 ack 1 [PSH ACK] epoch 255 req 127", "0", "34", "12",
     ("shila.tcp.mptcp", "DSS")),
    (up("alive"), "SHILA", "ALIVE flow 34 epoch 3 req 5 ans 77", "0", "34", "12", ("shila.ans", "77")),
    (down("data_fin"), "SHILA", "DATA flow 12 seq 1412567294 len 0 ack 3989547401 [FIN ACK]", "0", "12", "34",
     ("shila.tcp.flags.str", "FIN ACK")),
    (down("data_urgent"), "SHILA", "DATA flow 12 seq 1412568295 len 3 ack 3989549400 [ACK URG]", "0", "12", "34",
     ("shila.tcp.urgent", "3")),
    (down("close"), "SHILA", "CLOSE flow 12 from 34: stopped", "0", "12", "34", ("shila.reason", "6")),
    (down("unknown"), "SHILA", "UNKNOWN no flow 34, addressed by 12", "0", "", "34", ("shila.seen_flow_id", "12")),
    (up("open_sub6", 99), "SHILA", "OPEN from 12 sub TCP [fd07::1]:40001 > [fd70::5]:5201 SYN ECE CWR epoch 2", "0",
     "", "12", ("shila.tcp.mptcp", "MP_JOIN")),
    (up("open_plain4"), "SHILA", "OPEN from 12 plain TCP 10.7.1.1:40002 > 10.70.1.5:80 SYN len 18", "0", "", "12",
     ("shila.path_mtu", "1472")),
    (up("open_datagram4"), "SHILA", "OPEN from 12 datagram UDP 10.7.1.1:40000 > 10.70.1.5:53 len 33", "0", "", "12",
     ("shila.kind", "4")),
    (up("open_datagram6"), "SHILA", "OPEN from 12 datagram ICMPv6 [fd07::1]:30600 > [fd70::5]:30600 len 0", "0", "",
     "12", ("shila.inner.proto", "58")),
    (down("accept_bare"), "SHILA", "ACCEPT flow 12 from 34 port 31000 bare epoch 1", "0", "12", "34",
     ("shila.tcp.seq", "")),
    (down("reject", 0), "SHILA", "REJECT flow 12 from 0: not allowed", "0", "12", "0", ("shila.tag", "0x1b2c")),
    (up("datagram"), "SHILA", "DATAGRAM flow 34 len 33 UDP 10.7.1.1 > 10.70.1.5", "0", "34", "12",
     ("shila.inner.dst", "10.70.1.5")),
    (up("datagram_first"), "SHILA", "DATAGRAM flow 34 len 1200 part 1 of beef ICMPv6 fd07::1 > fd70::5", "0", "34", "12",
     ("shila.flags.last", "0")),
    (up("datagram_last"), "SHILA", "DATAGRAM flow 34 len 80 part 2 of beef", "0", "34", "12",
     ("shila.flags.last", "1")),
    (up("probe"), "SHILA", "PROBE id deadbeef", "", "", "", ("scion.src_ia", "1-64512")),
    (down("probe_reply"), "SHILA", "PROBE-REPLY id deadbeef", "", "", "", ("scion.src_host", "fd00::2")),
    (up("data") + up("data_urgent"), "SHILA", "DATA flow 34 seq 305419896 len 12 ack 1 [PSH ACK] epoch 255 req 127 | "
     "DATA flow 12 seq 999 len 3 ack 2000 [ACK URG]", "0,0", "34,12", "12,12",
     ("scion.path.hop.cons_egress", "1,0,1,0")),
    (scion(CLIENT, SERVER, 12, bytes(CHANGED)), "SHILA", "DATA [malformed]", "", "34", "",
     ("shila.epoch", "255")),
    (scion(CLIENT, SERVER, 12, b"\x27\0\0\0hello world, this is not ours"), "SCION",
     "SCION/UDP 1-64512:31000 > 2-ff00:0:112:31001 len 33", "", "", "", ("scion.udp.src_port", "31000")),
    (vector("scion_up_down_delivered"), "SCION", "SCION/UDP 1-ff00:0:111:31000 > 1-ff00:0:112:31001 len 5", "", "", "",
     ("scion.path.curr_hf", "3")),
    (vector("scion_extensions"), "SCION", None, "", "", "", ("scion.next_hdr", "200")),
    (vector("scion_no_path"), "SCION", None, "", "", "", ("scion.path_type", "0")),
    (vector("scion_three_segments"), "SCION", None, "", "", "", ("scion.dst_ia", None)),
    (vector("scmp_ext_if_down"), "SCION", "SCMP external interface down 1-ff00:0:110 2", "", "", "",
     ("scion.scmp.interface", "2")),
    (vector("scmp_int_conn_down"), "SCION", "SCMP internal connectivity down 1-ff00:0:110 1 > 2", "", "", "",
     ("scion.scmp.type", "6")),
    (vector("scmp_too_big"), "SCION", "SCMP packet too big", "", "", "", ("scion.scmp.mtu", "1280")),
    (up("probe")[:-1], "UDP", None, "", "", "", ("scion.version", "")),  # lengths do not agree
    (up("probe") + b"\0", "UDP", None, "", "", "", ("scion.version", "")),
    (b"\0" * 100, "UDP", None, "", "", "", ("scion.version", "")),
    (b"", "UDP", None, "", "", "", ("scion.version", "")),
]


def capture(path, packets):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # 101: raw IP
        for i, packet in enumerate(packets):
            hosts = ("fd00:1::1", "fd00:1::2") if i % 2 else ("192.0.2.1", "192.0.2.2")
            data = make_frame.udp_packet(*hosts, 31000, 31500, packet)
            f.write(struct.pack("<IIII", 1700000000 + i, 0, len(data), len(data)) + data)


def tshark(pcap, fields, *more):
    command = ["tshark", "-X", f"lua_script:{ROOT / 'scripts' / 'shila.lua'}", *more, "-r", pcap, "-T", "fields",
               "-E", "separator=/t", "-E", "occurrence=a"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode or "Lua:" in done.stderr or "rror" in done.stderr:
        sys.exit(f"tshark failed ({done.returncode}): {done.stderr}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def main():
    if not shutil.which("tshark"):
        print("no tshark")
        return 77
    common = ["_ws.col.Protocol", "_ws.col.Info", "shila.stream", "shila.flow", "shila.from"]
    extra = sorted({row[6][0] for row in ROWS})
    bad = 0
    with tempfile.TemporaryDirectory() as directory:
        pcap = f"{directory}/vectors.pcap"
        capture(pcap, [row[0] for row in ROWS])
        # Twice: in one pass, and in two, where each packet is looked at again.
        for passes in ([], ["-2"]):
            shown = tshark(pcap, common + extra, *passes)
            if len(shown) != len(ROWS):
                sys.exit(f"{len(shown)} packets shown, {len(ROWS)} captured")
            for number, (row, got) in enumerate(zip(ROWS, shown), 1):
                want = list(row[1:6]) + [row[6][1]]
                got = got[:5] + [got[5 + extra.index(row[6][0])]]
                for name, w, g in zip(common + [row[6][0]], want, got):
                    if w is not None and w != g:
                        print(f"packet {number}, {name}: {g!r} instead of {w!r}")
                        bad += 1
        found = tshark(pcap, ["frame.number"], "-Y", 'shila.type == 7 && shila.flow == 34 && scion.dst_ia == "2-ff00:0:112"')
        if len(found) != 3:
            print(f"display filter: {found}")
            bad += 1
    print(f"{len(ROWS)} packets, {bad} differences")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
