package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// change is one thing in which two configurations differ.
type change struct {
	about string // the same for each change of that thing
	text  string // what is now
}

// changes lists in which things next differs from old, in names.
func (t *Tunnel) changes(old, next *Config) (all changes) {
	all.changesOfTunnel(old, next)
	for i := range old.Peers {
		p := &old.Peers[i]
		if next.peer(p.PublicKey) == nil {
			all.note("peer "+p.PublicKey.String(), "peer %s is removed", t.called(p))
		}
	}
	for i := range next.Peers {
		p := &next.Peers[i]
		if was := old.peer(p.PublicKey); was == nil {
			all.note("peer "+p.PublicKey.String(), "peer %s is new, with %s", t.called(p), allowed(p.AllowedIPs))
		} else {
			all.changesOfPeer(t.called(p), was, p)
		}
	}
	return all
}

type changes []change

func (c *changes) note(about, format string, args ...any) {
	*c = append(*c, change{about, fmt.Sprintf(format, args...)})
}

// noteIf notes a change that is told by its name and the new value.
func (c *changes) noteIf(changed bool, about, format string, args ...any) {
	if changed {
		c.note(about, format, args...)
	}
}

func (c *changes) changesOfTunnel(old, next *Config) {
	c.noteIf(!old.PrivateKey.Equal(next.PrivateKey), "private key", "the private key is that of %v", next.PrivateKey.Public())
	c.noteIf(next.ListenPort != 0 && old.ListenPort != next.ListenPort, "port", "the UDP port is %d", next.ListenPort)
	c.noteIf(old.FwMark != next.FwMark, "mark", "FwMark is %#x", next.FwMark)
	c.noteIf(!slices.Equal(old.Addresses, next.Addresses), "addresses", "the addresses are %s", listed(next.Addresses))
	c.noteIf(!slices.Equal(old.DNS, next.DNS), "DNS", "the DNS servers are %s", listed(next.DNS))
	c.noteIf(!slices.Equal(old.SearchDomains, next.SearchDomains), "search domains", "the search domains are %s", listed(next.SearchDomains))
	c.noteIf(old.MTU != next.MTU, "MTU", "MTU is %s", orElse(next.MTU, "what fits"))
	c.noteIf(old.MSSClamp != next.MSSClamp, "MSS clamp", "the MSS clamp is %v", next.MSSClamp)
	c.noteIf(old.Table != next.Table, "table", "Table is %v", next.Table)
	c.noteIf(old.Policy != next.Policy || old.PolicyHost != next.PolicyHost, "policy", "the policy is %s", policyName(next))
	c.noteIf(old.auditFile() != next.auditFile() && old.Audit+next.Audit != "", "audit", "the policy that is tried is %s", orElse(next.Audit, "none"))
	c.noteIf(!old.Hooks.equal(next.Hooks), "hooks", "the hooks changed: a reload runs none, and those that the tunnel started with run at its end")
}

func (c *changes) changesOfPeer(name string, was, p *Peer) {
	about := func(what string) string { return p.PublicKey.String() + what }
	c.noteIf(was.Name != p.Name, about("name"), "peer %s is called %s", p.PublicKey, orElse(p.Name, "nothing"))
	c.noteIf(!was.PresharedKey.Equal(p.PresharedKey), about("shared"), "peer %s: %s", name, sharedKey(was, p))
	c.noteIf(was.Endpoint != p.Endpoint, about("endpoint"), "peer %s: the endpoint is %s", name, orElse(p.Endpoint, "none"))
	c.noteIf(was.Keepalive != p.Keepalive, about("keepalive"), "peer %s: the keepalive is %s", name, orElse(p.Keepalive, "off"))
	c.noteIf(was.Required != p.Required, about("required"), "peer %s is %s", name, map[bool]string{true: "required", false: "not required"}[p.Required])
	c.noteIf(was.MSSClamp != p.MSSClamp, about("MSS"), "peer %s: the MSS clamp is %v", name, p.MSSClamp)
	gone, come := differences(was.AllowedIPs, p.AllowedIPs)
	c.noteIf(len(gone)+len(come) > 0, about("allowed"), "peer %s: %s", name, allowedNow(gone, come))
}

func sharedKey(was, p *Peer) string {
	switch {
	case was.PresharedKey.IsZero():
		return "there is a preshared key"
	case p.PresharedKey.IsZero():
		return "the preshared key is gone"
	}
	return "the preshared key is another"
}

func allowedNow(gone, come []netip.Prefix) string {
	var parts []string
	if len(come) > 0 {
		parts = append(parts, "now with "+allowed(come))
	}
	if len(gone) > 0 {
		parts = append(parts, "without "+allowed(gone))
	}
	return strings.Join(parts, ", ")
}

// maxListed is how many values of a list are told.
const maxListed = 8

func allowed(prefixes []netip.Prefix) string { return "allowed IPs " + listed(prefixes) }

// listed returns values with commas between them.
func listed[T any](values []T) string {
	if len(values) == 0 {
		return "none"
	}
	var texts []string
	for _, v := range values[:min(len(values), maxListed)] {
		texts = append(texts, fmt.Sprint(v))
	}
	if more := len(values) - maxListed; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}

// orElse returns a value, or a word for the zero value.
func orElse[T comparable](v T, word string) string {
	if v == *new(T) {
		return word
	}
	return fmt.Sprint(v)
}

func policyName(c *Config) string {
	switch {
	case c.Policy == "":
		return "none: all that the allowed IPs admit is accepted"
	case c.PolicyHost != "":
		return fmt.Sprintf("%s for %s", c.Policy, c.PolicyHost)
	}
	return c.Policy
}
