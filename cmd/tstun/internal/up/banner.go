package up

import (
	"fmt"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// tellUp says what is up: to a person a table, to a program a record for the
// tunnel and one for each socket.
func (r *runner) tellUp(s tunnel.Status, file string, sv *servers) {
	if r.log.isPlain() {
		fmt.Fprint(r.env.Stderr, banner(s, file, sv))
		return
	}
	for _, o := range sv.opened {
		r.log.Info(o.what+" listens", "network", o.addr.Network(), "address", o.addr.String())
	}
	r.log.Info("the tunnel runs", "name", s.Name, "file", file, "mode", s.Mode, "reason", s.ModeReason, "publicKey", s.PublicKey,
		"addresses", s.Addresses, "mtu", s.MTU, "listenPort", s.ListenPort, "peers", len(s.Peers), "policy", s.Policy.File)
}

// banner is what a person sees of a tunnel that has come up.
func banner(s tunnel.Status, file string, sv *servers) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("file", "%s", file)
	row("public key", "%v", s.PublicKey)
	for _, a := range s.Addresses {
		row("address", "%v", a)
	}
	row("WireGuard", "UDP port %d, MTU %d", s.ListenPort, s.MTU)
	for i := range s.Peers[:min(len(s.Peers), maxListed)] {
		row("peer", "%s", peerLine(&s.Peers[i]))
	}
	if more := len(s.Peers) - maxListed; more > 0 {
		row("peer", "and %s", ui.Counted(more, "more", "more"))
	}
	if p := s.Policy; p.File != "" {
		row("policy", "%s, %s", p.File, ui.Counted(p.Rules, "rule", "rules"))
	}
	for _, o := range sv.opened {
		row("listens", "%s %v: %s", o.addr.Network(), o.addr, o.what)
	}
	fmt.Fprintf(&b, "Ctrl-C ends it and undoes all. In another terminal: tstun status %s\n", s.Name)
	return b.String()
}

// peerLine says who a peer is, where, and what is behind it.
func peerLine(p *tunnel.PeerStatus) string {
	line := nameOf(p)
	if p.Endpoint.IsValid() {
		line += " at " + p.Endpoint.String()
	} else {
		line += ", which has to begin"
	}
	var behind []string
	for _, a := range p.AllowedIPs[:min(len(p.AllowedIPs), maxListed)] {
		behind = append(behind, a.String())
	}
	if more := len(p.AllowedIPs) - maxListed; more > 0 {
		behind = append(behind, ui.Counted(more, "more", "more"))
	}
	if len(behind) > 0 {
		line += ": " + strings.Join(behind, ", ")
	}
	return line
}
