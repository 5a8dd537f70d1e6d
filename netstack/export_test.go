package netstack

// TCPWrites is how often TCP wrote to the link: super-packets count once.
func (s *Stack) TCPWrites() uint64 { return s.ip.Stats().TCP.SegmentsSent.Value() }
