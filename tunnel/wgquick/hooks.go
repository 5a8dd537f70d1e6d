package wgquick

import (
	"strings"

	"tstun/tunnel"
)

// Hints for a hook that is refused.
const (
	hintHook       = "--allow-hooks runs it as wg-quick does, --ignore-hooks passes over it"
	hintClamp      = "--clamp-mss mtu bounds TCP segments without a firewall, with --ignore-hooks; or run the command with --allow-hooks"
	hintMasquerade = "MASQUERADE gives what peers send on the host's address: add the rule to the host's firewall once and use --ignore-hooks, or run the command with --allow-hooks"
)

// hintOf returns the hint for a command that is refused.
func hintOf(command string) string {
	switch c := lower(command); {
	case strings.Contains(c, "tcpmss") || strings.Contains(c, "maxseg"):
		return hintClamp
	case strings.Contains(c, "masquerade"):
		return hintMasquerade
	}
	return hintHook
}

// hook reads a command. Its text is in no error, as it may hold a secret.
func (p *parser) hook(s setting) {
	if s.value == "" || p.options.Hooks == IgnoreHooks {
		return
	}
	if p.options.Hooks != AllowHooks {
		p.refuse(s.atKey(), hintOf(s.value), "%s is a command to run: refused", s.key)
		return
	}
	if cut := strings.IndexByte(s.text, '#'); cut >= 0 {
		p.warn(s.at(cut), "%s ends before #, as for wg-quick: the rest is a comment", s.key)
	}
	for _, h := range hookLists(&p.config.Hooks) {
		if h.key == s.key {
			*h.list = append(*h.list, s.value)
		}
	}
}

// hookList is the commands of one key.
type hookList struct {
	key  string
	list *[]string
}

// hookLists returns all commands, in the order in which wg-quick runs them.
func hookLists(h *tunnel.Hooks) []hookList {
	return []hookList{{"PreUp", &h.PreUp}, {"PostUp", &h.PostUp}, {"PreDown", &h.PreDown}, {"PostDown", &h.PostDown}}
}
