package pipeline

// MSS bounds the maximum segment size of TCP connections (RFC 9293 §3.7.1), in
// bytes. 0 is no bound.
type MSS struct {
	IPv4, IPv6 uint16
}

// of returns the bound for a version of IP.
func (m MSS) of(version uint8) uint16 {
	if version == 6 {
		return m.IPv6
	}
	return m.IPv4
}

// clampMSS lowers the MSS of the segment in hand, of a handshake, to the bound for
// all and to that of the peer, which may be nil. packet.Run matches no segment of a
// handshake, so the verdict cache lets none pass this by.
func (f *Frame) clampMSS(peer *Peer) {
	version := f.Packet.IPVersion
	if limit := f.Config.MSS.of(version); limit != 0 {
		f.Packet.ClampMSS(limit)
	}
	if peer == nil {
		return
	}
	if limit := peer.MSS.of(version); limit != 0 {
		f.Packet.ClampMSS(limit)
	}
}
