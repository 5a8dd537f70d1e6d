package pipeline

import (
	"net/netip"

	"tstun/filter"
	"tstun/key"
	"tstun/packet"
)

// Config is what the stages depend on besides the packet and the time. It does
// not change once a Frame has it.
type Config struct {
	Serial   uint64                // tells it from all others that the same VerdictCache meets
	Hooks    *Hooks                // not nil
	Filter   *filter.Filter        // nil: drop everything
	Log      filter.RunFlags       // which packets the filter logs
	Peers    *Peers                // nil: no NAT, nobody jailed
	Disco    *key.DiscoPublic      // own key; nil: none
	Activity map[netip.Addr]func() // called for packets to the address
	Reject   Reject
	MSS      MSS // bound for all peers
	// KeepUntranslated keeps packets as they were before NAT, in Frame.
	KeepUntranslated bool
}

// Hook judges one packet: on Accept the packet goes on, on Handled the hook has
// taken it, any other Response drops it. nil accepts.
type Hook func(*packet.Parsed) filter.Response

// Hooks are the program's functions, as they were when the first packet came.
// Those that are nil are not called.
type Hooks struct {
	PreFilterIn, PostFilterIn Hook
	ToNetstack, ToEngine      Hook // before the main filter, outbound
	PostFilterOut             Hook
	EchoResponse              func(*packet.Parsed) (consumed bool)
	Pong                      func(packet.TSMPPongReply)
	PeerAPIPort               func(netip.Addr) (port uint16, ok bool)
}

// SeeIn reports whether a hook sees inbound packets of open flows.
func (h *Hooks) SeeIn() bool { return h.PreFilterIn != nil || h.PostFilterIn != nil }

// SeeOut reports whether a hook sees outbound packets of open flows.
func (h *Hooks) SeeOut() bool {
	return h.ToNetstack != nil || h.ToEngine != nil || h.PostFilterOut != nil
}

// RunsIn reports whether inbound packets may have called a function of the
// program.
func (c *Config) RunsIn() bool {
	return c.Hooks.SeeIn() || c.Hooks.EchoResponse != nil || c.Hooks.Pong != nil
}

// RunsOut reports whether outbound packets may have called a function of the
// program.
func (c *Config) RunsOut() bool { return c.Hooks.SeeOut() || len(c.Activity) > 0 }
