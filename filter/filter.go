package filter

import (
	"net/netip"
	"time"

	"tstun/ipproto"
	"tstun/logger"
	"tstun/packet"
)

// Filter judges packets.
type Filter struct{ state *State }

// New makes a filter.
func New(c Config) (*Filter, error) { return &Filter{state: new(State)}, nil }

// NewAllowAll allows all.
func NewAllowAll(logf logger.Logf) *Filter { return &Filter{state: new(State)} }

// NewAllowNone allows no new inbound flow.
func NewAllowNone(logf logger.Logf) *Filter { return &Filter{state: new(State)} }

// State returns the state.
func (f *Filter) State() *State { return f.state }

var base = time.Now()

// Now is the clock of RunIn and RunOut.
func Now() int64 { return int64(time.Since(base)) }

// In judges an inbound packet.
func (f *Filter) In(p *packet.Parsed, now int64, flags RunFlags) Verdict {
	return Verdict{Response: Accept}
}

// Out judges an outbound packet.
func (f *Filter) Out(p *packet.Parsed, now int64, flags RunFlags) Verdict {
	return Verdict{Response: Accept}
}

// Record opens or refreshes the flow of an outbound packet.
func (f *Filter) Record(p *packet.Parsed, now int64) {}

// Admit opens the flow of an inbound packet.
func (f *Filter) Admit(p *packet.Parsed, now int64) {}

// RunIn is In with Now.
func (f *Filter) RunIn(p *packet.Parsed, flags RunFlags) Response {
	return f.In(p, Now(), flags).Response
}

// RunOut is Out, then Record, with Now.
func (f *Filter) RunOut(p *packet.Parsed, flags RunFlags) Response {
	return f.Out(p, Now(), flags).Response
}

// Check judges a new inbound flow.
func (f *Filter) Check(src, dst netip.Addr, dstPort uint16, proto ipproto.Proto) Response {
	return Drop
}

// Explain explains.
func (f *Filter) Explain(src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	return Explanation{}
}
