package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tstun"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// statusText prints a Status as wg(8) does.
type statusText struct {
	*ui.Painter
	now time.Time
}

func printStatus(p *ui.Painter, s *control.Status) {
	t := statusText{p, time.Now()}
	t.Printf("%s: %s\n", t.Paint(ui.Green, "interface"), t.Paint(ui.Green, oneLine(s.Name)))
	t.line("public key", s.PublicKey.String())
	t.line("listening port", strconv.Itoa(int(s.ListenPort)))
	if s.FwMark != 0 {
		t.line("fwmark", fmt.Sprintf("%#x", s.FwMark))
	}
	t.line("addresses", prefixList(s.Addresses))
	t.line("mtu", strconv.Itoa(s.MTU))
	t.line("mode", fmt.Sprintf("%s, since %s", s.Mode, oneLine(s.ModeReason)))
	t.line("process", fmt.Sprintf("%d, started %s", s.PID, t.ago(s.Started)))
	t.policy(&s.Policy)
	t.audit(&s.Audit)
	for _, w := range s.Warnings {
		t.line("warning", t.Paint(ui.Red, oneLine(w)))
	}
	t.books(&s.Status)
	for i := range s.Peers {
		t.peer(&s.Peers[i])
	}
}

func (t statusText) line(label, value string) { t.Printf("  %s: %s\n", t.Paint(ui.Bold, label), value) }

// hashDigits is how much of a policy's hash is shown: enough to tell two apart.
const hashDigits = 12

func (t statusText) policy(p *tunnel.PolicyStatus) {
	if p.File == "" {
		t.line("policy", "none: all that the allowed ips admit is accepted")
	} else {
		t.line("policy", fmt.Sprintf("%s, %s, %s, loaded %s", oneLine(p.File), p.Hash[:min(hashDigits, len(p.Hash))],
			ui.Counted(p.Rules, "rule", "rules"), t.ago(p.Loaded)))
	}
	if !p.TrialUntil.IsZero() {
		t.line("policy tried until", p.TrialUntil.Local().Format(time.TimeOnly)+"; tstun policy confirm keeps it")
	}
	if p.Error != "" {
		t.line("policy refused", t.Paint(ui.Red, oneLine(p.Error)))
	}
}

// audit prints which policy is tried, if one is.
func (t statusText) audit(p *tunnel.PolicyStatus) {
	if p.File != "" {
		t.line("tried policy", fmt.Sprintf("%s, %s, %s, loaded %s: tstun policy audit", oneLine(p.File), p.Hash[:min(hashDigits, len(p.Hash))],
			ui.Counted(p.Rules, "rule", "rules"), t.ago(p.Loaded)))
	}
	if p.Error != "" {
		t.line("tried policy refused", t.Paint(ui.Red, oneLine(p.Error)))
	}
}

func (t statusText) peer(p *tunnel.PeerStatus) {
	name := oneLine(p.Name)
	if name == "" {
		name = p.PublicKey.String()
	}
	t.Printf("\n%s: %s\n", t.Paint(ui.Cyan, "peer"), t.Paint(ui.Cyan, name))
	if p.Name != "" {
		t.line("public key", p.PublicKey.String())
	}
	if p.PresharedKey {
		t.line("preshared key", "(hidden)")
	}
	if p.Endpoint.IsValid() {
		t.line("endpoint", p.Endpoint.String())
	}
	t.line("allowed ips", prefixList(p.AllowedIPs))
	if !p.Handshake.IsZero() {
		t.line("latest handshake", t.ago(p.Handshake))
	}
	if p.Received > 0 || p.Sent > 0 {
		t.line("transfer", fmt.Sprintf("%s received, %s sent", size(p.Received), size(p.Sent)))
	}
	if p.Keepalive > 0 {
		t.line("persistent keepalive", "every "+ui.Counted(int(p.Keepalive), "second", "seconds"))
	}
}

// books prints what became of all packets. Each is counted once, and what is not
// is unaccounted.
func (t statusText) books(s *tunnel.Status) {
	t.direction("received", "in", &s.Counters.In, s.Unaccounted.In)
	t.direction("sent", "out", &s.Counters.Out, s.Unaccounted.Out)
}

func (t statusText) direction(label, name string, d *tstun.DirectionCounters, unaccounted uint64) {
	total := d.Packets + d.Dropped() + d.Held + unaccounted
	text := fmt.Sprintf("%s = %s delivered + %s dropped", packets(total), ui.Number(d.Packets), ui.Number(d.Dropped()))
	if d.Held > 0 {
		text += fmt.Sprintf(" + %s held", ui.Number(d.Held))
	}
	t.line(label, text+fmt.Sprintf(", %s unaccounted", ui.Number(unaccounted)))
	for _, r := range filter.Reasons() {
		if n := d.Drops[r]; n > 0 {
			t.line("dropped "+name, fmt.Sprintf("%s %s: %s", ui.Number(n), r, r.Explain()))
		}
	}
}

func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return ui.Number(n) + " packets"
}

func size(n uint64) string { return ui.Size(min(n, 1<<62)).String() }

// ago says how long ago a time was, in wg(8)'s words.
func (t statusText) ago(then time.Time) string {
	left := int64(t.now.Sub(then) / time.Second)
	switch {
	case left < 0:
		return "in the future: the clock was set back"
	case left == 0:
		return "now"
	}
	var parts []string
	for _, u := range []struct {
		name    string
		seconds int64
	}{{"year", 365 * 24 * 60 * 60}, {"day", 24 * 60 * 60}, {"hour", 60 * 60}, {"minute", 60}, {"second", 1}} {
		if n := left / u.seconds; n > 0 {
			parts = append(parts, ui.Counted(int(n), u.name, u.name+"s"))
			left %= u.seconds
		}
	}
	return strings.Join(parts, ", ") + " ago"
}

func prefixList(all []netip.Prefix) string {
	if len(all) == 0 {
		return "(none)"
	}
	var words []string
	for _, p := range all {
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}

// oneLine returns text without what would move a terminal's cursor.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ';'
		case !strconv.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
