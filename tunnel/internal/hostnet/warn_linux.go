package hostnet

import "github.com/vishvananda/netlink"

// warn says what goes past the tunnel, or into it that must not.
func (s *setting) warn() error {
	for _, is6 := range []bool{false, true} {
		if s.layout.isFull(!is6) && !s.layout.isFull(is6) {
			s.warnLeak(familyOf(is6))
		}
	}
	for _, e := range s.config.Endpoints {
		if r, err := s.routeTo(e.Addr()); err == nil && r.LinkIndex == s.index {
			s.warnf(WarnEndpoint, "The endpoint %s is routed into the tunnel itself, so that nothing reaches it. Take its address out of AllowedIPs, or use a default route, whose rules let the tunnel's own packets out.", e)
		}
	}
	return nil
}

// warnLeak says that a family goes around the tunnel, or will once the host has
// that family.
func (s *setting) warnLeak(family int) {
	name, route := familyName(family), map[bool]string{false: "0.0.0.0/0", true: "::/0"}[family == familyOf(true)]
	verb := "would go around the tunnel as soon as this host has it"
	if s.reachesOut(family) {
		verb = "goes around the tunnel"
	}
	s.warnf(WarnLeak, "%s %s: only the other IP version is routed into it whole. Add %s to AllowedIPs, or switch %s off.", name, verb, route, name)
}

// reachesOut reports whether the host has a default route or a global address
// of the family outside of the tunnel.
func (s *setting) reachesOut(family int) bool {
	for _, r := range s.defaultRoutes() {
		if r.Family == family {
			return true
		}
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return s.nl.AddrList(nil, family) })
	for _, a := range addrs {
		if a.LinkIndex != s.index && a.IP.IsGlobalUnicast() {
			return true
		}
	}
	return err != nil
}
