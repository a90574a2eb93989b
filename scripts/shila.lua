-- SPDX-License-Identifier: Apache-2.0
--
-- Wireshark and tshark: SCION over UDP and the frames that two shilads exchange in it.
--
--   tshark -X lua_script:scripts/shila.lua -r capture.pcap
--   tshark -X lua_script:scripts/shila.lua -r capture.pcap -Y 'shila.type == 7 && shila.flow == 12' \
--          -T fields -e shila.stream -e shila.tcp.seq -e shila.len
--   wireshark -X lua_script:scripts/shila.lua capture.pcap
--
-- SCION is recognized in any UDP datagram by its lengths, which must agree exactly. A datagram may hold
-- several SCION packets: that is what a capture on the sending host sees of UDP_SEGMENT.
--
-- docs/protocol.md describes the frames. shila.flow is the index of the flow at the receiver of a frame,
-- shila.from that at its sender; shila.stream numbers the flows of the capture, both directions alike.
--
-- With another SCION dissector loaded this one adds the shila frames below it and no SCION fields.

local SCION_PORTS = { 30041, 30042, 31654 } -- dispatcher, border router of many set-ups, contact port

local found, other = pcall(Dissector.get, "scion")
local foreign_scion = found and other ~= nil

---------------------------------------------------------------------------------------- SCION fields

local l4_names = { [6] = "TCP", [17] = "UDP", [200] = "hop-by-hop options", [201] = "end-to-end options",
	[202] = "SCMP", [203] = "BFD", [253] = "experiment", [254] = "experiment" }
local path_names = { [0] = "empty", [1] = "SCION", [2] = "one hop", [3] = "EPIC" }
local scmp_names = { [1] = "destination unreachable", [2] = "packet too big", [4] = "parameter problem",
	[5] = "external interface down", [6] = "internal connectivity down", [128] = "echo request",
	[129] = "echo reply", [130] = "traceroute request", [131] = "traceroute reply" }

local scion = Proto(foreign_scion and "shila_scion" or "scion", "SCION")
local S = foreign_scion and "shila_scion." or "scion."
local sf = {
	version = ProtoField.uint8(S .. "version", "Version"),
	traffic_class = ProtoField.uint8(S .. "traffic_class", "Traffic class", base.HEX),
	flow_id = ProtoField.uint32(S .. "flow_id", "Flow ID"),
	next_hdr = ProtoField.uint8(S .. "next_hdr", "Next header", base.DEC, l4_names),
	hdr_len = ProtoField.uint16(S .. "hdr_len", "Header length (bytes)"),
	payload_len = ProtoField.uint16(S .. "payload_len", "Payload length"),
	path_type = ProtoField.uint8(S .. "path_type", "Path type", base.DEC, path_names),
	dst_ia = ProtoField.string(S .. "dst_ia", "Destination ISD-AS"),
	src_ia = ProtoField.string(S .. "src_ia", "Source ISD-AS"),
	dst_host = ProtoField.string(S .. "dst_host", "Destination host"),
	src_host = ProtoField.string(S .. "src_host", "Source host"),
	curr_inf = ProtoField.uint8(S .. "path.curr_inf", "Current info field"),
	curr_hf = ProtoField.uint8(S .. "path.curr_hf", "Current hop field"),
	seg_len = ProtoField.string(S .. "path.seg_len", "Segment lengths"),
	info = ProtoField.none(S .. "path.info", "Info field"),
	info_cons = ProtoField.bool(S .. "path.info.cons_dir", "Construction direction", 8, nil, 0x01),
	info_peer = ProtoField.bool(S .. "path.info.peering", "Peering", 8, nil, 0x02),
	info_seg_id = ProtoField.uint16(S .. "path.info.seg_id", "SegID", base.HEX),
	info_time = ProtoField.absolute_time(S .. "path.info.timestamp", "Timestamp"),
	hop = ProtoField.none(S .. "path.hop", "Hop field"),
	hop_alert = ProtoField.uint8(S .. "path.hop.alert", "Router alert", base.HEX, nil, 0x03),
	hop_exp = ProtoField.uint8(S .. "path.hop.exp_time", "ExpTime"),
	hop_ingress = ProtoField.uint16(S .. "path.hop.cons_ingress", "ConsIngress"),
	hop_egress = ProtoField.uint16(S .. "path.hop.cons_egress", "ConsEgress"),
	hop_mac = ProtoField.bytes(S .. "path.hop.mac", "MAC"),
	src_port = ProtoField.uint16(S .. "udp.src_port", "Source port"),
	dst_port = ProtoField.uint16(S .. "udp.dst_port", "Destination port"),
	udp_len = ProtoField.uint16(S .. "udp.length", "Length"),
	udp_csum = ProtoField.uint16(S .. "udp.checksum", "Checksum", base.HEX),
	scmp_type = ProtoField.uint8(S .. "scmp.type", "SCMP type", base.DEC, scmp_names),
	scmp_code = ProtoField.uint8(S .. "scmp.code", "SCMP code"),
	scmp_ia = ProtoField.string(S .. "scmp.ia", "ISD-AS"),
	scmp_if = ProtoField.uint64(S .. "scmp.interface", "Interface"),
	scmp_mtu = ProtoField.uint16(S .. "scmp.mtu", "MTU"),
}
local fields = {}
for _, field in pairs(sf) do fields[#fields + 1] = field end
scion.fields = fields

---------------------------------------------------------------------------------------- shila fields

local types = { "HELLO", "HELLO-ACK", "OPEN", "ACCEPT", "REJECT", "ALIVE", "DATA", "DATAGRAM", "PROBE",
	"PROBE-REPLY", "CLOSE", "UNKNOWN" }
local HELLO, HELLO_ACK, OPEN, ACCEPT, REJECT, ALIVE, DATA, DATAGRAM, PROBE, PROBE_REPLY, CLOSE, UNKNOWN =
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local min_len = { 56, 56, 76, 20, 20, 12, 24, 13, 24, 24, 20, 22 }
local kinds = { "main", "sub", "plain", "datagram" }
local reasons = { [0] = "no reason given", "not allowed", "not served", "port closed", "no resources",
	"no main flow", "stopped", "closed", "malformed" }
local protocols = { [1] = "ICMP", [6] = "TCP", [17] = "UDP", [58] = "ICMPv6" }
local mptcp_names = { [0] = "MP_CAPABLE", "MP_JOIN", "DSS", "ADD_ADDR", "REMOVE_ADDR", "MP_PRIO", "MP_FAIL",
	"MP_FASTCLOSE", "MP_TCPRST" }

local shila = Proto("shila", "shila backbone protocol")
local f = {
	version = ProtoField.uint8("shila.version", "Version"),
	type = ProtoField.uint8("shila.type", "Type", base.DEC, types),
	flags = ProtoField.uint8("shila.flags", "Flags", base.HEX),
	frag = ProtoField.bool("shila.flags.frag", "Part of a packet", 8, nil, 0x01),
	last = ProtoField.bool("shila.flags.last", "Second part", 8, nil, 0x02),
	epoch = ProtoField.uint8("shila.epoch", "Epoch"),
	req = ProtoField.uint8("shila.req", "Request"),
	ans = ProtoField.uint8("shila.ans", "Answer"),
	tag = ProtoField.uint16("shila.tag", "Receiver's tag", base.HEX),
	flow_id = ProtoField.uint32("shila.flow_id", "Receiver's flow id", base.HEX),
	flow = ProtoField.uint32("shila.flow", "Receiver's flow"),
	from_id = ProtoField.uint32("shila.from_id", "Sender's flow id", base.HEX),
	from_tag = ProtoField.uint16("shila.from_tag", "Sender's tag", base.HEX),
	from = ProtoField.uint32("shila.from", "Sender's flow"),
	stream = ProtoField.uint32("shila.stream", "Stream"),
	len = ProtoField.uint32("shila.len", "Payload length"),
	payload = ProtoField.bytes("shila.payload", "Payload"),
	kind = ProtoField.uint8("shila.kind", "Kind", base.DEC, kinds),
	proto = ProtoField.uint8("shila.inner.proto", "Inner protocol", base.DEC, protocols),
	path_mtu = ProtoField.uint16("shila.path_mtu", "Path MTU"),
	born = ProtoField.uint16("shila.born", "Flow made at (ms, low 16 bits)"),
	src = ProtoField.string("shila.inner.src", "Inner source"),
	dst = ProtoField.string("shila.inner.dst", "Inner destination"),
	src_port = ProtoField.uint16("shila.inner.src_port", "Inner source port"),
	dst_port = ProtoField.uint16("shila.inner.dst_port", "Inner destination port"),
	tuple = ProtoField.string("shila.inner", "Inner connection"),
	worker_port = ProtoField.uint16("shila.worker_port", "Worker port"),
	reason = ProtoField.uint8("shila.reason", "Reason", base.DEC, reasons),
	min_version = ProtoField.uint8("shila.min_version", "Lowest version"),
	max_version = ProtoField.uint8("shila.max_version", "Highest version"),
	features = ProtoField.uint32("shila.features", "Features", base.HEX),
	max_flows = ProtoField.uint32("shila.max_flows", "Flows allowed"),
	boot_id = ProtoField.uint64("shila.boot_id", "Boot id", base.HEX),
	cookie = ProtoField.uint64("shila.cookie", "Cookie", base.HEX),
	probe_id = ProtoField.uint32("shila.probe_id", "Probe identifier", base.HEX),
	sent_us = ProtoField.uint64("shila.sent_us", "Sent at (us)"),
	seen_flow_id = ProtoField.uint32("shila.seen_flow_id", "SCION Flow ID seen"),
	packet_id = ProtoField.uint16("shila.packet_id", "Packet id", base.HEX),
	seq = ProtoField.uint32("shila.tcp.seq", "Sequence number"),
	rel_seq = ProtoField.uint32("shila.tcp.rel_seq", "Sequence number (relative)"),
	ack = ProtoField.uint32("shila.tcp.ack", "Acknowledgment number"),
	rel_ack = ProtoField.uint32("shila.tcp.rel_ack", "Acknowledgment number (relative)"),
	tcp_hdr_len = ProtoField.uint8("shila.tcp.hdr_len", "TCP header length"),
	tcp_flags = ProtoField.uint8("shila.tcp.flags", "TCP flags", base.HEX),
	tcp_flags_str = ProtoField.string("shila.tcp.flags.str", "TCP flags"),
	window = ProtoField.uint16("shila.tcp.window", "Window"),
	urgent = ProtoField.uint16("shila.tcp.urgent", "Urgent pointer"),
	options = ProtoField.bytes("shila.tcp.options", "TCP options"),
	mptcp = ProtoField.string("shila.tcp.mptcp", "MPTCP option"),
}
fields = {}
for _, field in pairs(f) do fields[#fields + 1] = field end
shila.fields = fields

local malformed = ProtoExpert.new("shila.malformed", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
local too_short = ProtoExpert.new("shila.open_too_short", "OPEN shorter than its largest answer",
	expert.group.PROTOCOL, expert.severity.WARN)
shila.experts = { malformed, too_short }

---------------------------------------------------------------------------------------------- texts

local function ia_str(tvb, at)
	local hi, mid, lo = tvb(at + 2, 2):uint(), tvb(at + 4, 2):uint(), tvb(at + 6, 2):uint()

	if hi == 0 then
		return string.format("%d-%d", tvb(at, 2):uint(), mid * 65536 + lo)
	end
	return string.format("%d-%x:%x:%x", tvb(at, 2):uint(), hi, mid, lo)
end

local function ip_str(tvb, at, len)
	return tostring(len == 4 and tvb(at, 4):ipv4() or tvb(at, 16):ipv6())
end

-- Host of a SCION address header; @nibble is type and length.
local function host_str(tvb, at, nibble)
	if nibble == 0 or nibble == 3 then
		return ip_str(tvb, at, nibble == 0 and 4 or 16)
	elseif nibble == 4 then
		local names = { [1] = "DS", [2] = "CS", [0x10] = "wildcard" }
		local n = tvb(at, 2):uint()

		return names[n] or string.format("SVC %04x", n)
	end
	return tvb(at, 4 * (nibble % 4 + 1)):bytes():tohex()
end

local function endpoint(host, port)
	return string.format(host:find(":") and "[%s]:%d" or "%s:%d", host, port)
end

local function tcp_flags_str(flags)
	local names, out = { "FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR" }, {}

	for i, name in ipairs(names) do
		if math.floor(flags / 2 ^ (i - 1)) % 2 == 1 then out[#out + 1] = name end
	end
	return table.concat(out, " ")
end

------------------------------------------------------------------------------------------ SCION parse

-- What is at @at, or nil if it cannot be a SCION packet.
local function scion_parse(tvb, at)
	local there = tvb:len() - at
	local p = { at = at }

	if there < 36 or tvb(at, 1):bitfield(0, 4) ~= 0 then return nil end
	p.flow_id = tvb(at, 4):bitfield(12, 20)
	p.next_hdr = tvb(at + 4, 1):uint()
	p.hdr_len = tvb(at + 5, 1):uint() * 4
	p.payload_len = tvb(at + 6, 2):uint()
	p.path_type = tvb(at + 8, 1):uint()
	p.dst_type = tvb(at + 9, 1):bitfield(0, 4)
	p.src_type = tvb(at + 9, 1):bitfield(4, 4)
	p.len = p.hdr_len + p.payload_len
	p.dst_len = 4 * (p.dst_type % 4 + 1)
	p.src_len = 4 * (p.src_type % 4 + 1)
	p.path_at = at + 28 + p.dst_len + p.src_len
	p.path_len = at + p.hdr_len - p.path_at
	if not l4_names[p.next_hdr] or p.len > tvb:reported_len() - at or p.hdr_len > there or p.path_len < 0 then
		return nil
	end
	if p.path_type == 0 then
		if p.path_len ~= 0 then return nil end
	elseif p.path_type == 1 then
		if p.path_len < 4 then return nil end
		local meta = tvb(p.path_at, 4)

		p.curr_inf, p.curr_hf = meta:bitfield(0, 2), meta:bitfield(2, 6)
		p.seg_len = { meta:bitfield(14, 6), meta:bitfield(20, 6), meta:bitfield(26, 6) }
		p.num_inf = p.seg_len[3] > 0 and 3 or p.seg_len[2] > 0 and 2 or 1
		p.num_hops = p.seg_len[1] + p.seg_len[2] + p.seg_len[3]
		if p.path_len ~= 4 + 8 * p.num_inf + 12 * p.num_hops then return nil end
	elseif p.path_type == 2 then
		if p.path_len ~= 32 then return nil end
	elseif p.path_type > 4 then
		return nil
	end
	p.src_ia, p.dst_ia = ia_str(tvb, at + 20), ia_str(tvb, at + 12)
	p.dst_host = host_str(tvb, at + 28, p.dst_type)
	p.src_host = host_str(tvb, at + 28 + p.dst_len, p.src_type)

	-- Extension headers, as far as they were captured.
	p.l4, p.l4_at = p.next_hdr, at + p.hdr_len
	while p.l4 == 200 or p.l4 == 201 do
		if p.l4_at + 4 > tvb:len() then return p end
		p.l4, p.l4_at = tvb(p.l4_at, 1):uint(), p.l4_at + (tvb(p.l4_at + 1, 1):uint() + 1) * 4
		if p.l4_at > at + p.len then return nil end
	end
	p.l4_len = at + p.len - p.l4_at
	return p
end

-- All packets of a datagram, or nil if it is not made of SCION packets from end to end.
local function scion_parse_all(tvb)
	local list, at = {}, 0

	while at < tvb:reported_len() do
		if #list > 0 and at + 36 > tvb:len() and tvb:len() < tvb:reported_len() then
			break -- the rest was not captured
		end
		local p = scion_parse(tvb, at)

		if not p then return nil end
		list[#list + 1] = p
		at = at + p.len
	end
	return #list > 0 and list or nil
end

local function scion_path_tree(tvb, p, tree)
	local at = p.path_at

	tree:add(sf.curr_inf, tvb(at, 1), p.curr_inf)
	tree:add(sf.curr_hf, tvb(at, 1), p.curr_hf)
	tree:add(sf.seg_len, tvb(at, 4), table.concat(p.seg_len, " "))
	at = at + 4
	for i = 0, p.num_inf - 1 do
		local t = tree:add(sf.info, tvb(at, 8))

		t:append_text(" " .. i)
		t:add(sf.info_cons, tvb(at, 1))
		t:add(sf.info_peer, tvb(at, 1))
		t:add(sf.info_seg_id, tvb(at + 2, 2))
		t:add(sf.info_time, tvb(at + 4, 4))
		at = at + 8
	end
	for i = 0, p.num_hops - 1 do
		local t = tree:add(sf.hop, tvb(at, 12))

		t:append_text(string.format(" %d: %d, %d", i, tvb(at + 2, 2):uint(), tvb(at + 4, 2):uint()))
		t:add(sf.hop_alert, tvb(at, 1))
		t:add(sf.hop_exp, tvb(at + 1, 1))
		t:add(sf.hop_ingress, tvb(at + 2, 2))
		t:add(sf.hop_egress, tvb(at + 4, 2))
		t:add(sf.hop_mac, tvb(at + 6, 6))
		at = at + 12
	end
end

local function scion_tree(tvb, p, root)
	local at = p.at
	local tree = root:add(scion, tvb(at, math.min(p.len, tvb:len() - at)))

	tree:append_text(string.format(", %s,%s > %s,%s", p.src_ia, p.src_host, p.dst_ia, p.dst_host))
	tree:add(sf.version, tvb(at, 1), 0)
	tree:add(sf.traffic_class, tvb(at, 2), tvb(at, 2):bitfield(4, 8))
	tree:add(sf.flow_id, tvb(at + 1, 3), p.flow_id)
	tree:add(sf.next_hdr, tvb(at + 4, 1))
	tree:add(sf.hdr_len, tvb(at + 5, 1), p.hdr_len)
	tree:add(sf.payload_len, tvb(at + 6, 2))
	tree:add(sf.path_type, tvb(at + 8, 1))
	tree:add(sf.dst_ia, tvb(at + 12, 8), p.dst_ia)
	tree:add(sf.src_ia, tvb(at + 20, 8), p.src_ia)
	tree:add(sf.dst_host, tvb(at + 28, p.dst_len), p.dst_host)
	tree:add(sf.src_host, tvb(at + 28 + p.dst_len, p.src_len), p.src_host)
	if p.path_type == 1 then scion_path_tree(tvb, p, tree) end
	return tree
end

local function scmp_tree(tvb, p, tree)
	local at, info = p.l4_at, nil
	local kind = tvb(at, 1):uint()

	tree:add(sf.scmp_type, tvb(at, 1))
	tree:add(sf.scmp_code, tvb(at + 1, 1))
	info = "SCMP " .. (scmp_names[kind] or kind)
	if kind == 2 and tvb:len() >= at + 8 then
		tree:add(sf.scmp_mtu, tvb(at + 6, 2))
	elseif (kind == 5 or kind == 6) and tvb:len() >= at + 20 then
		local ia, first = ia_str(tvb, at + 4), tvb(at + 12, 8)

		tree:add(sf.scmp_ia, tvb(at + 4, 8), ia)
		tree:add(sf.scmp_if, first)
		info = info .. " " .. ia .. " " .. tostring(first:uint64())
		if kind == 6 and tvb:len() >= at + 28 then
			tree:add(sf.scmp_if, tvb(at + 20, 8))
			info = info .. " > " .. tostring(tvb(at + 20, 8):uint64())
		end
	end
	return info
end

--------------------------------------------------------------------------------------------- streams

-- What earlier frames said about a flow: found by the SCION address of an end and the flow's index there.
local by_end, num_streams, remembered

local function forget()
	by_end, num_streams, remembered = {}, 0, {}
end

forget()
function shila.init() forget() end

local function end_key(ia, host, index)
	return index and index > 0 and ia .. "," .. host .. "#" .. index or nil
end

local function isn_of(stream, key)
	return stream and key and stream.isn[key] or nil
end

-- Runs once per frame and in the order of the capture; the result is kept for later looks at the packet.
local function track(p, h)
	local from = end_key(p.src_ia, p.src_host, h.from)
	local to = end_key(p.dst_ia, p.dst_host, h.to)
	local stream

	if h.type == UNKNOWN then
		to = end_key(p.dst_ia, p.dst_host, h.seen)
	end
	if h.type == OPEN then
		stream = by_end[from]
		if not stream or stream.opener ~= h.from_id then
			stream = { number = num_streams, opener = h.from_id, isn = {}, tuple = h.tuple }
			num_streams = num_streams + 1
			by_end[from] = stream
		end
	else
		stream = to and by_end[to] or from and by_end[from]
		if h.type == ACCEPT and stream then by_end[from] = stream end
	end
	if not stream then return {} end
	if h.seq and h.syn and from then stream.isn[from] = h.seq end
	local r = { number = stream.number, tuple = stream.tuple }
	local seq_base, ack_base = isn_of(stream, from), isn_of(stream, to)

	if h.seq and seq_base then r.rel_seq = (h.seq - seq_base) % 4294967296 end
	if h.seq and h.has_ack and ack_base then r.rel_ack = (h.ack - ack_base) % 4294967296 end
	return r
end

local function recall(pinfo, p, h)
	local key = pinfo.number .. ":" .. p.at

	if not remembered[key] then remembered[key] = track(p, h) end
	return remembered[key]
end

-------------------------------------------------------------------------------------------- frames

-- Could these bytes be a frame? (Others use SCION/UDP as well.)
local function looks_like_frame(tvb, at, len)
	if len < 12 or tvb:len() < at + 12 or tvb(at, 1):bitfield(0, 4) ~= 1 then return false end
	local kind = tvb(at, 1):bitfield(4, 4)

	if not types[kind] or tvb(at + 3, 1):uint() ~= 0 or len < min_len[kind] then return false end
	return kind <= OPEN or kind == PROBE or kind == PROBE_REPLY or kind == UNKNOWN or
		tvb(at + 8, 4):bitfield(0, 20) > 0
end

local function add_options(tvb, at, len, tree)
	local stop = at + len

	tree:add(f.options, tvb(at, len))
	while at < stop do
		local kind = tvb(at, 1):uint()

		if kind == 0 then return end
		local size = kind == 1 and 1 or at + 1 < stop and tvb(at + 1, 1):uint() or 0

		if size < 1 or (kind ~= 1 and size < 2) or at + size > stop then return end
		if kind == 30 and size >= 3 then
			local name = mptcp_names[tvb(at + 2, 1):bitfield(0, 4)]

			tree:add(f.mptcp, tvb(at, size), name or "MPTCP")
		end
		at = at + size
	end
end

-- Thin TCP header of at most @len bytes; fills @h. Return: its length, or nil if it is malformed.
local function thin_parse(tvb, at, len, h)
	if len < 12 or tvb:len() < at + 12 then return nil end
	h.seq, h.ack = tvb(at, 4):uint(), tvb(at + 4, 4):uint()
	h.tcp_hdr_len = tvb(at + 8, 1):bitfield(0, 4) * 4
	h.tcp_flags = tvb(at + 9, 1):uint()
	h.syn = tvb(at + 9, 1):bitfield(6, 1) == 1
	h.has_ack = tvb(at + 9, 1):bitfield(3, 1) == 1
	h.urg = tvb(at + 9, 1):bitfield(2, 1) == 1
	h.thin_at = at
	h.opts_at = at + (h.urg and 16 or 12)
	h.opts_len = h.tcp_hdr_len - 20
	if h.opts_len < 0 or h.opts_at + h.opts_len > at + len then
		h.seq = nil
		return nil
	end
	return h.opts_at + h.opts_len - at
end

local function thin_tree(tvb, h, r, tree)
	local at = h.thin_at

	tree:add(f.seq, tvb(at, 4))
	if r.rel_seq then tree:add(f.rel_seq, tvb(at, 4), r.rel_seq):set_generated() end
	tree:add(f.ack, tvb(at + 4, 4))
	if r.rel_ack then tree:add(f.rel_ack, tvb(at + 4, 4), r.rel_ack):set_generated() end
	tree:add(f.tcp_hdr_len, tvb(at + 8, 1), h.tcp_hdr_len)
	tree:add(f.tcp_flags, tvb(at + 9, 1))
	tree:add(f.tcp_flags_str, tvb(at + 9, 1), tcp_flags_str(h.tcp_flags)):set_generated()
	tree:add(f.window, tvb(at + 10, 2))
	if h.urg and tvb:len() >= at + 14 then tree:add(f.urgent, tvb(at + 12, 2)) end
	if h.opts_len > 0 and tvb:len() >= h.opts_at + h.opts_len then
		add_options(tvb, h.opts_at, h.opts_len, tree)
	end
end

local function add_payload(tvb, at, len, tree)
	local there = math.min(len, tvb:len() - at)

	if there > 0 then
		tree:add(f.len, tvb(at, there), len):set_generated()
		tree:add(f.payload, tvb(at, there))
	else
		tree:add(f.len, len):set_generated()
	end
end

-- The header of an inner packet, if enough of it is there.
local function inner_parse(tvb, at, len)
	if len < 1 or tvb:len() <= at then return nil end
	local version = tvb(at, 1):bitfield(0, 4)

	if version == 4 and len >= 20 and tvb:len() >= at + 20 then
		return { at = at, proto_at = at + 9, src_at = at + 12, dst_at = at + 16, n = 4 }
	elseif version == 6 and len >= 40 and tvb:len() >= at + 40 then
		return { at = at, proto_at = at + 6, src_at = at + 8, dst_at = at + 24, n = 16 }
	end
	return nil
end

local function inner_tree(tvb, i, tree)
	tree:add(f.proto, tvb(i.proto_at, 1))
	tree:add(f.src, tvb(i.src_at, i.n), ip_str(tvb, i.src_at, i.n))
	tree:add(f.dst, tvb(i.dst_at, i.n), ip_str(tvb, i.dst_at, i.n))
end

-- How one type is read: parse(tvb, at, len, h) fills @h and gives false if malformed; tree() shows it;
-- info() is the text of the info column behind the type.
local frames = {}

local function name_parse(tvb, at, h)
	h.from_id, h.from_tag = tvb(at + 12, 4):uint(), tvb(at + 16, 2):uint()
	h.from = tvb(at + 12, 4):bitfield(0, 20)
end

local function name_tree(tvb, at, h, tree)
	tree:add(f.from_id, tvb(at + 12, 4))
	tree:add(f.from, tvb(at + 12, 4), h.from):set_generated()
	tree:add(f.from_tag, tvb(at + 16, 2))
end

frames[HELLO] = {
	parse = function(tvb, at, len, h)
		h.workers = tvb(at + 14, 1):uint()
		return h.workers >= 1 and h.workers <= 8
	end,
	tree = function(tvb, at, len, h, r, tree)
		tree:add(f.min_version, tvb(at + 12, 1))
		tree:add(f.max_version, tvb(at + 13, 1))
		tree:add(f.features, tvb(at + 16, 4))
		tree:add(f.max_flows, tvb(at + 20, 4))
		tree:add(f.boot_id, tvb(at + 24, 8))
		tree:add(f.cookie, tvb(at + 32, 8))
		for i = 0, h.workers - 1 do tree:add(f.worker_port, tvb(at + 40 + 2 * i, 2)) end
	end,
	info = function(tvb, at, len, h)
		return string.format("boot %s workers %d", tvb(at + 24, 8):bytes():tohex(true), h.workers)
	end,
}
frames[HELLO_ACK] = frames[HELLO]

frames[OPEN] = {
	parse = function(tvb, at, len, h)
		local n = tvb(at + 22, 1):uint()

		name_parse(tvb, at, h)
		h.kind, h.proto, h.n = tvb(at + 20, 1):uint(), tvb(at + 21, 1):uint(), n
		h.src_port, h.dst_port = tvb(at + 24, 2):uint(), tvb(at + 26, 2):uint()
		h.body_len = tvb(at + 28, 2):uint()
		h.body_at = at + 32 + 2 * n
		if not kinds[h.kind] or (n ~= 4 and n ~= 16) or h.body_at + h.body_len > at + len then return false end
		if tvb:len() < h.body_at then return false end
		h.src, h.dst = ip_str(tvb, at + 32, n), ip_str(tvb, at + 32 + n, n)
		local dst = (h.dst == "0.0.0.0" or h.dst == "::") and "ingress" or h.dst

		h.tuple = endpoint(h.src, h.src_port) .. " > " .. endpoint(dst, h.dst_port)
		if h.kind == 4 then
			h.inner = inner_parse(tvb, h.body_at, h.body_len)
			return true
		end
		local thin = thin_parse(tvb, h.body_at, h.body_len, h)

		h.data = thin and h.body_len - thin
		return thin ~= nil
	end,
	tree = function(tvb, at, len, h, r, tree)
		name_tree(tvb, at, h, tree)
		tree:add(f.path_mtu, tvb(at + 18, 2))
		tree:add(f.born, tvb(at + 30, 2))
		tree:add(f.kind, tvb(at + 20, 1))
		tree:add(f.proto, tvb(at + 21, 1))
		tree:add(f.src, tvb(at + 32, h.n), h.src)
		tree:add(f.dst, tvb(at + 32 + h.n, h.n), h.dst)
		tree:add(f.src_port, tvb(at + 24, 2))
		tree:add(f.dst_port, tvb(at + 26, 2))
		if h.seq then
			thin_tree(tvb, h, r, tree)
			add_payload(tvb, h.body_at + h.body_len - h.data, h.data, tree)
		else
			add_payload(tvb, h.body_at, h.body_len, tree)
		end
		if len < 76 then tree:add_proto_expert_info(too_short) end
	end,
	info = function(tvb, at, len, h)
		local proto = protocols[h.proto] or "protocol " .. h.proto
		local text = string.format("from %d %s %s %s", h.from, kinds[h.kind], proto, h.tuple)

		if not h.seq then return text .. " len " .. h.body_len end
		return text .. " " .. tcp_flags_str(h.tcp_flags) .. (h.data > 0 and " len " .. h.data or "")
	end,
}

frames[ACCEPT] = {
	parse = function(tvb, at, len, h)
		name_parse(tvb, at, h)
		h.worker_port = tvb(at + 18, 2):uint()
		return len == 20 or thin_parse(tvb, at + 20, len - 20, h) ~= nil
	end,
	tree = function(tvb, at, len, h, r, tree)
		name_tree(tvb, at, h, tree)
		tree:add(f.worker_port, tvb(at + 18, 2))
		if h.seq then thin_tree(tvb, h, r, tree) end
	end,
	info = function(tvb, at, len, h)
		return string.format("flow %d from %d port %d %s", h.to, h.from, h.worker_port,
			h.seq and tcp_flags_str(h.tcp_flags) or "bare")
	end,
}

frames[REJECT] = {
	parse = function(tvb, at, len, h)
		name_parse(tvb, at, h)
		h.reason = tvb(at + 18, 1):uint()
		return true
	end,
	tree = function(tvb, at, len, h, r, tree)
		name_tree(tvb, at, h, tree)
		tree:add(f.reason, tvb(at + 18, 1))
	end,
	info = function(tvb, at, len, h)
		return string.format("flow %d from %d: %s", h.to, h.from, reasons[h.reason] or "reason " .. h.reason)
	end,
}
frames[CLOSE] = frames[REJECT]

frames[ALIVE] = {
	parse = function() return true end,
	tree = function() end,
	info = function(tvb, at, len, h) return string.format("flow %d", h.to) end,
}

frames[DATA] = {
	parse = function(tvb, at, len, h)
		local thin = thin_parse(tvb, at + 12, len - 12, h)

		h.data = thin and len - 12 - thin
		return thin ~= nil
	end,
	tree = function(tvb, at, len, h, r, tree)
		thin_tree(tvb, h, r, tree)
		add_payload(tvb, at + len - h.data, h.data, tree)
	end,
	info = function(tvb, at, len, h, r)
		local flags = tcp_flags_str(h.tcp_flags)
		local text = string.format("flow %d seq %d len %d", h.to, r.rel_seq or h.seq, h.data)

		if h.has_ack then text = text .. " ack " .. string.format("%d", r.rel_ack or h.ack) end
		return flags == "ACK" and text or text .. " [" .. flags .. "]"
	end,
}

frames[DATAGRAM] = {
	parse = function(tvb, at, len, h)
		h.head = h.flags % 2 == 1 and 16 or 12
		if len <= h.head or tvb:len() < at + h.head then return false end
		if h.head == 16 then h.packet_id = tvb(at + 12, 2):uint() end
		if h.flags % 4 == 2 then return false end -- the last of no parts
		if h.flags % 4 < 2 then h.inner = inner_parse(tvb, at + h.head, len - h.head) end
		return true
	end,
	tree = function(tvb, at, len, h, r, tree)
		if h.packet_id then tree:add(f.packet_id, tvb(at + 12, 2)) end
		if h.inner then inner_tree(tvb, h.inner, tree) end
		add_payload(tvb, at + h.head, len - h.head, tree)
	end,
	info = function(tvb, at, len, h)
		local text = string.format("flow %d len %d", h.to, len - h.head)

		if h.packet_id then
			text = text .. string.format(" part %d of %04x", h.flags % 4 == 3 and 2 or 1, h.packet_id)
		end
		if not h.inner then return text end
		local i = h.inner
		local proto = tvb(i.proto_at, 1):uint()

		return text .. string.format(" %s %s > %s", protocols[proto] or "protocol " .. proto,
			ip_str(tvb, i.src_at, i.n), ip_str(tvb, i.dst_at, i.n))
	end,
}

frames[PROBE] = {
	parse = function() return true end,
	tree = function(tvb, at, len, h, r, tree)
		tree:add(f.probe_id, tvb(at + 12, 4))
		tree:add(f.sent_us, tvb(at + 16, 8))
	end,
	info = function(tvb, at) return string.format("id %08x", tvb(at + 12, 4):uint()) end,
}
frames[PROBE_REPLY] = frames[PROBE]

frames[UNKNOWN] = {
	parse = function(tvb, at, len, h)
		h.addressed, h.seen = tvb(at + 12, 4):bitfield(0, 20), tvb(at + 16, 4):bitfield(12, 20)
		return true
	end,
	tree = function(tvb, at, len, h, r, tree)
		tree:add(f.from_id, tvb(at + 12, 4))
		tree:add(f.from, tvb(at + 12, 4), h.addressed):set_generated()
		tree:add(f.from_tag, tvb(at + 20, 2))
		tree:add(f.seen_flow_id, tvb(at + 16, 4), h.seen)
	end,
	info = function(tvb, at, len, h) return string.format("no flow %d, addressed by %d", h.addressed, h.seen) end,
}

-- One frame. Return: the text for the info column.
local function shila_dissect(tvb, at, len, pinfo, root, p)
	local h = { type = tvb(at, 1):bitfield(4, 4), flags = tvb(at + 1, 1):uint(), epoch = tvb(at + 2, 1):uint(),
		req = tvb(at + 4, 1):uint(), ans = tvb(at + 5, 1):uint(), to = tvb(at + 8, 4):bitfield(0, 20) }
	local there = math.min(len, tvb:len() - at)
	local tree = root:add(shila, tvb(at, there))
	local how = frames[h.type]

	tree:append_text(", " .. types[h.type])
	tree:add(f.version, tvb(at, 1), 1)
	tree:add(f.type, tvb(at, 1), h.type)
	local flags = tree:add(f.flags, tvb(at + 1, 1))

	if h.type == DATAGRAM then
		flags:add(f.frag, tvb(at + 1, 1))
		flags:add(f.last, tvb(at + 1, 1))
	end
	tree:add(f.epoch, tvb(at + 2, 1))
	tree:add(f.req, tvb(at + 4, 1))
	tree:add(f.ans, tvb(at + 5, 1))
	if h.to > 0 then
		tree:add(f.tag, tvb(at + 6, 2))
		tree:add(f.flow_id, tvb(at + 8, 4))
		tree:add(f.flow, tvb(at + 8, 4), h.to):set_generated()
	end
	if there < min_len[h.type] or not how.parse(tvb, at, len, h) then
		if there == len then tree:add_proto_expert_info(malformed) end
		return types[h.type] .. (there == len and " [malformed]" or " [cut off]")
	end

	-- These carry no name of their sender: it is the SCION FlowID of the packet.
	if h.type == DATA or h.type == DATAGRAM or h.type == ALIVE then
		h.from = p.flow_id
		tree:add(f.from, h.from):set_generated()
	end
	local r = h.type ~= HELLO and h.type ~= HELLO_ACK and h.type ~= PROBE and h.type ~= PROBE_REPLY and
		recall(pinfo, p, h) or {}

	if r.number then tree:add(f.stream, r.number):set_generated() end
	if r.tuple then tree:add(f.tuple, r.tuple):set_generated() end
	how.tree(tvb, at, len, h, r, tree)

	local text = types[h.type] .. " " .. how.info(tvb, at, len, h, r)

	if h.epoch > 0 then text = text .. " epoch " .. h.epoch end
	if h.req > 0 then text = text .. " req " .. h.req end
	if h.ans > 0 then text = text .. " ans " .. h.ans end
	tree:append_text(", " .. text:sub(#types[h.type] + 2))
	return text
end

-- One SCION packet. Return: protocol name and text for the columns.
local function packet_dissect(tvb, p, pinfo, root)
	local tree = not foreign_scion and scion_tree(tvb, p, root) or nil
	local name = l4_names[p.l4] or "protocol " .. p.l4

	if p.l4 == 202 and tree and p.l4_len >= 4 and tvb:len() >= p.l4_at + 4 then
		return "SCION", scmp_tree(tvb, p, tree)
	end
	if p.l4 ~= 17 or p.l4_len < 8 or tvb:len() < p.l4_at + 8 then
		return "SCION", string.format("SCION/%s %s > %s", name, p.src_ia, p.dst_ia)
	end
	p.src_port, p.dst_port = tvb(p.l4_at, 2):uint(), tvb(p.l4_at + 2, 2):uint()
	if tree then
		tree:add(sf.src_port, tvb(p.l4_at, 2))
		tree:add(sf.dst_port, tvb(p.l4_at + 2, 2))
		tree:add(sf.udp_len, tvb(p.l4_at + 4, 2))
		tree:add(sf.udp_csum, tvb(p.l4_at + 6, 2))
	end
	local at, len = p.l4_at + 8, p.l4_len - 8

	if looks_like_frame(tvb, at, len) then
		return "SHILA", shila_dissect(tvb, at, len, pinfo, root, p)
	end
	return "SCION", string.format("SCION/UDP %s:%d > %s:%d len %d", p.src_ia, p.src_port, p.dst_ia, p.dst_port, len)
end

local function dissect_all(tvb, pinfo, root, list)
	local protocol, texts = "SCION", {}

	for _, p in ipairs(list) do
		local name, text = packet_dissect(tvb, p, pinfo, root)

		if name == "SHILA" then protocol = name end
		texts[#texts + 1] = text
	end
	pinfo.cols.protocol = protocol
	pinfo.cols.info = table.concat(texts, " | ")
end

----------------------------------------------------------------------------------------- registration

if foreign_scion then
	local udp_payload = Field.new("udp.payload")
	local frames_only = Proto("shila_frames", "shila frames below another SCION dissector")

	function frames_only.dissector(_, pinfo, root)
		for _, field in ipairs({ udp_payload() }) do
			local tvb = field.range:tvb()
			local list = scion_parse_all(tvb)

			for _, p in ipairs(list or {}) do
				local name, text = packet_dissect(tvb, p, pinfo, root)

				if name == "SHILA" then
					pinfo.cols.protocol = name
					pinfo.cols.info = text
				end
			end
		end
	end
	register_postdissector(frames_only)
else
	function scion.dissector(tvb, pinfo, root)
		local list = scion_parse_all(tvb)

		if not list then return 0 end
		dissect_all(tvb, pinfo, root, list)
		return tvb:len()
	end
	scion:register_heuristic("udp", function(tvb, pinfo, root)
		local list = scion_parse_all(tvb)

		if not list then return false end
		dissect_all(tvb, pinfo, root, list)
		return true
	end)
	for _, port in ipairs(SCION_PORTS) do DissectorTable.get("udp.port"):add(port, scion) end
end
