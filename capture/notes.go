package capture

import (
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/packet"
)

// headersLen is how much of a packet tells its flow, whatever extension headers it has
// within reason.
const headersLen = 256

// notes makes the comments of records. It keeps those that it made: a flow has one for
// all its packets.
type notes struct {
	c    *Capture
	last noteKey // that text is of
	text string
	all  map[noteKey]string

	whole  whole
	parsed packet.Parsed
}

// noteKey is what a comment is made of.
type noteKey struct {
	verdict  filter.Verdict
	rule     string
	policy   uint32
	peer     flow.PeerID
	src, dst netip.Addr
	injected bool
}

// maxNotes bounds the comments that are kept.
const maxNotes = 4096

func newNotes(c *Capture) *notes { return &notes{c: c, all: make(map[noteKey]string)} }

// of returns the comment of a record with the packet pkt, or its beginning. src and dst
// are its addresses on WireGuard's side, if they are others.
func (n *notes) of(r *record, src, dst netip.Addr, pkt []byte) string {
	k := noteKey{verdict: r.verdict, rule: n.ruleOf(r, pkt), policy: r.policy, peer: r.peer, src: src, dst: dst, injected: r.injected}
	if k == n.last && n.text != "" {
		return n.text
	}
	text, known := n.all[k]
	if !known {
		text = n.make(&k)
		if len(n.all) == maxNotes {
			clear(n.all)
		}
		n.all[k] = text
	}
	n.last, n.text = k, text
	return text
}

func (n *notes) make(k *noteKey) string {
	note := Note{Verdict: k.verdict, Rule: k.rule, Policy: k.policy, WireSrc: k.src, WireDst: k.dst, Injected: k.injected}
	if n.c.options.Peer != nil {
		note.Peer = n.c.options.Peer(k.peer)
	}
	return note.String()
}

// ruleOf returns the name of the rule that lets the packet pass, or "".
func (n *notes) ruleOf(r *record, pkt []byte) string {
	f := n.c.filters.find(r.policy)
	if f == nil || r.verdict.Response.IsDrop() {
		return ""
	}
	n.parsed.Decode(n.whole.of(pkt, int(r.length)))
	var id flow.ID
	if r.inbound {
		id.SetIn(&n.parsed)
	} else {
		id.SetOut(&n.parsed)
	}
	filter.SetQuery(&id, &n.parsed, r.inbound)
	if id.IsZero() {
		return ""
	}
	return n.c.options.Rule(f, id.Key())
}

// longest is the length of the longest packet: an IPv6 header and its payload.
const longest = 40 + packet.MaxLen

// whole fills packets that were cut up with zeros, to their length: the judgement of a
// packet depends on its headers, and on their saying the truth of its length.
type whole struct {
	buf  []byte
	used int // bytes of buf that are not zero
}

// of returns pkt if it has length bytes, or else a copy that has, valid until the next
// call. A packet longer than IP has is left as it is.
func (w *whole) of(pkt []byte, length int) []byte {
	if len(pkt) >= length || length > longest {
		return pkt
	}
	if w.buf == nil {
		w.buf = make([]byte, longest)
	}
	n := copy(w.buf, pkt)
	if n < w.used {
		clear(w.buf[n:w.used])
	}
	w.used = n
	return w.buf[:length]
}
