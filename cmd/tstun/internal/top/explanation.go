package top

import (
	"fmt"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// explanation tells all that is known of the chosen flow, in so many lines.
func (m *model) explanation(room int) (lines []string) {
	i := m.index()
	if i < 0 {
		return []string{"", "  It is not among the flows any more: Enter goes back."}
	}
	r := &m.rows[i]
	say := func(label, text string) {
		if text != "" {
			lines = append(lines, wrapped(label, clean(text), m.width)...)
		}
	}
	say("flow", r.Flow.String())
	say("sides", fmt.Sprintf("%v port %d to %v port %d", r.Src.Addr, r.Src.Port, r.Dst.Addr, r.Dst.Port))
	say("peer", r.PeerName)
	say("begun by", begunBy(&r.Flow))
	say("in", fmt.Sprintf("%s packets, %s", ui.Number(r.In.Packets), size(float64(r.In.Bytes))))
	say("out", fmt.Sprintf("%s packets, %s", ui.Number(r.Out.Packets), size(float64(r.Out.Bytes))))
	say("first", r.First.Local().Format(time.DateTime))
	say("last", r.Last.Local().Format(time.DateTime))
	for _, t := range why(&r.Flow) {
		say(t[0], t[1])
	}
	return lines[:min(len(lines), room)]
}

func begunBy(f *tunnel.Flow) string {
	switch f.Initiator {
	case filter.InitiatorPeer:
		return "the peer"
	case filter.InitiatorHost:
		return "this host"
	}
	return "nobody knows: it was there before"
}

// why says why a flow passes, or was refused and what would allow it.
func why(f *tunnel.Flow) [][2]string {
	if !f.IsRefused() {
		text := "no rule: what the host begins needs none"
		switch {
		case f.Rule != nil:
			text = f.Rule.String()
		case f.Initiator != filter.InitiatorHost:
			text = "not one of the policy in force"
		}
		return [][2]string{{"state", f.Phase.String()}, {"allowed by", text}}
	}
	text := [][2]string{{"refused", f.Reason.String() + ": " + f.Reason.Explain()}, {"nearest", f.Nearest}, {"it lacks", strings.Join(f.Lacks, ", ")}}
	if f.AllowedNow != nil {
		text = append(text, [2]string{"by now", f.AllowedNow.String() + " would allow it"})
	}
	return text
}

// wrapped returns text behind a label, broken between words.
func wrapped(label, text string, columns int) (lines []string) {
	const indent = 14
	line := pad("  "+label, indent)
	for word := range strings.FieldsSeq(text) {
		if ui.Width(line)+1+ui.Width(word) > columns && ui.Width(line) > indent {
			lines, line = append(lines, line), strings.Repeat(" ", indent)
		}
		if ui.Width(line) > indent {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
