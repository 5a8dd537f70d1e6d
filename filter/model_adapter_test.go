package filter_test

import (
	"tstun/filter"
	"tstun/packet"
)

// subject is the filter that the model drives. Nothing else in the model calls
// it: what changes in the filter's signatures changes here alone.
type subject struct{ f *filter.Filter }

// in judges an inbound packet of a peer's. peer is for a filter that is told
// whose a packet is.
func (s *subject) in(b []byte, peer uint8, now int64, flags filter.RunFlags) filter.Verdict {
	_ = peer
	var p packet.Parsed
	p.Decode(b)
	return s.f.In(&p, now, flags)
}

// out judges an outbound packet to a peer, and records it if it passes.
func (s *subject) out(b []byte, peer uint8, now int64) filter.Verdict {
	_ = peer
	var p packet.Parsed
	p.Decode(b)
	v := s.f.Out(&p, now, 0)
	if v.Response == filter.Accept {
		s.f.Record(&p, now)
	}
	return v
}

// replace makes the next filter, at now.
func (s *subject) replace(c filter.Config, now int64) error {
	f, err := filter.New(c)
	if err == nil {
		s.f = f
		f.Begin(now)
	}
	return err
}

// lossless reports whether the state has found room for every flow and
// datagram so far.
func (s *subject) lossless() bool {
	st := s.f.State().Stats()
	return st.Flows.Evicted+st.Flows.Refused+st.Fragments.Evicted+st.Fragments.Refused == 0
}
