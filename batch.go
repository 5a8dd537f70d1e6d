package tstun

import (
	"errors"
	"slices"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/fragqueue"
	"tstun/internal/inject"
	"tstun/internal/pipeline"
	"tstun/tundev"
)

// batch is the working memory of one call of Read or Write. Each packet is
// judged, counted and sent on, in this order: read.go and write.go do that by
// the methods here.
type batch struct {
	pipeline.Frame // the packet in hand; its Config is cfg's

	w   *Wrapper
	cfg *config // as it was when the call began
	way accounting.Direction

	cache pipeline.VerdictCache
	call  accounting.Call
	local accounting.Local

	out      [][]byte             // inbound packets for the device, in the caller's buffers but for released ones
	sent     []sent               // how each packet of out was counted
	released []fragqueue.Fragment // that were held
	others   []int                // where out has packets that are not the caller's, but released
	replies  []inject.Packet      // to the caller's packets
	refused  int                  // of the caller's packets, those that were dropped
	one      [1][]byte            // Unbatched's single packet

	observation Observation // of one packet after the other
	ahead       lookahead   // large, and for a lone packet not needed
}

// sent is how an inbound packet was counted before the device had it.
type sent struct {
	run  int32 // as accounting.Call has it
	size int32
}

// begin begins a call.
func (b *batch) begin(w *Wrapper, way accounting.Direction) {
	cfg := w.config.Load()
	if cfg.Hooks == nil {
		cfg = w.bindHooks()
	}
	b.w, b.way, b.cfg = w, way, cfg
	b.Config, b.Now = &cfg.Config, clock.Now()
	b.cache.Revalidate(b.Config, b.Now)
	b.call.Begin(cfg.into != nil)
	b.Count = cfg.into != nil && cfg.into.State != nil
	if w.fragments.IsDue(b.Now) {
		w.logOrphans(w.fragments.Expire(b.Now), b.Now)
	}
}

// end forgets what is the caller's and the configuration, which may be much, and
// out of force before the next call.
func (b *batch) end() {
	clear(b.out)
	clear(b.released)
	clear(b.replies)
	b.out, b.sent = b.out[:0], b.sent[:0]
	b.released, b.others, b.replies = b.released[:0], b.others[:0], b.replies[:0]
	b.refused, b.one[0] = 0, nil
	if b.cfg.sink != nil {
		b.observation = Observation{}
	}
	b.Frame, b.cfg = pipeline.Frame{Untranslated: b.Untranslated[:0]}, nil
}

// count counts the packet in hand, which passed or was taken, and returns its
// run.
func (b *batch) count(size int) int {
	if b.Counting.Done() {
		run := b.call.CountCounted(&b.Counting.Counted, size)
		b.Counting.Counted = flow.Counted{}
		return run
	}
	if b.cfg.into != nil {
		b.findFlow()
	}
	return b.call.Count(&b.ID, size)
}

// findFlow makes b.ID, of a fragment, the flow of its datagram, if that is known, and of
// an ICMP query that of the query.
func (b *batch) findFlow() {
	if b.Packet.IPProto.IsICMP() {
		filter.SetQuery(&b.ID, &b.Packet, b.way == accounting.In)
	}
	if b.Packet.IsFragment() {
		b.findDatagram()
	}
}

// findDatagram makes b.ID, of a fragment, the flow of its datagram, if that is known.
func (b *batch) findDatagram() {
	frag, _ := b.Packet.Fragment()
	datagram, _ := flow.OutDatagram(&b.Packet)
	peer := b.Packet.Dst.Addr()
	if b.way == accounting.In {
		datagram, _ = flow.InDatagram(&b.Packet)
		peer = b.Packet.Src.Addr()
	}
	if frag.Offset == 0 {
		b.cfg.into.Flows.FirstFragment(b.way, datagram, &b.ID, b.Config.Peers.PeerOf(peer), b.Now)
		return
	}
	b.cfg.into.Flows.LaterFragment(b.way, datagram, &b.ID, b.Now)
}

// countDrop counts the packet in hand as dropped.
func (b *batch) countDrop(r filter.Reason) {
	b.call.Drops.Add(r, 1)
	if b.cfg.records {
		b.recordDrop(r)
	}
	b.w.noteDrop(b.Config.Filter, r)
}

// recordDrop records the packet in hand, which was dropped, under its flow. Stages before
// the main filter may not have set b.ID.
func (b *batch) recordDrop(r filter.Reason) {
	switch {
	case r.IsFilters() && r != filter.ReasonMalformed:
	case b.way == accounting.In:
		b.ID.SetIn(&b.Packet)
	default:
		b.ID.SetOut(&b.Packet)
	}
	if b.Packet.IsFragment() {
		b.findDatagram()
	}
	b.call.Refuse(&b.ID, r, len(b.Packet.Buffer()))
}

// cached makes the flow of the packet in hand, which was counted in run, the one
// that the verdict cache has.
func (b *batch) cached(run int) {
	b.call.Cache(run)
	if b.cfg.into != nil {
		b.local.Follow(&b.ID)
	}
}

// send puts the packet of size bytes, which is in buf from offset on and was
// counted in run, among those for the device.
func (b *batch) send(buf []byte, offset, size, run int) {
	b.sent = append(b.sent, sent{run: int32(run), size: int32(size)})
	b.out = append(b.out, buf[:offset+size])
}

// dropLost counts the packets as dropped that the device failed to write: those in err's
// list, or all after the first n.
func (b *batch) dropLost(n int, err error) {
	var partial *tundev.WriteError
	if errors.As(err, &partial) {
		for _, i := range partial.Lost {
			b.dropSent(&b.sent[i])
		}
		return
	}
	// Which they are is not known. Some devices return a number of bytes,
	// which only tells whether anything was written.
	for i := range b.sent[n:] {
		b.dropSent(&b.sent[n+i])
	}
}

// dropSent counts a packet as dropped that was counted as passed, unless a record or an
// extract that does not change any more has it.
func (b *batch) dropSent(s *sent) {
	if b.call.Uncount(int(s.run), int(s.size), b.cfg.into, b.way) {
		b.call.Drops.Add(filter.ReasonDevice, 1)
	}
}

// ownSent returns how many of the first n packets of b.out are the caller's.
func (b *batch) ownSent(n int) int {
	others, _ := slices.BinarySearch(b.others, n)
	return n - others
}

// enter enters what the call has counted into counters and statistics.
func (b *batch) enter() {
	b.noteActivity()
	b.w.checkHooks(b.Now)
	if len(b.released) == 0 {
		b.enterLocal()
	} else {
		b.w.fragments.Settle(b.released, b.enterLocal)
	}
	if len(b.call.Begun) > 0 {
		b.logRefused()
	}
}

// logRefused logs the flows of which the call had the first refused packets.
func (b *batch) logRefused() {
	for i := range b.call.Begun {
		r := refusedRecord(&b.call.Begun[i])
		src, dst := r.Src, r.Dst
		if b.way == accounting.In {
			src, dst = dst, src
		}
		b.Config.Filter.LogRefused(b.way, r.Proto, src, dst, r.Bytes, r.Reason, b.Now)
	}
}

func (b *batch) enterLocal() { b.local.Enter(&b.call, b.cfg.into, b.way, b.Now) }

// noteActivity notes the call, if a packet passed or was taken in it: as of now
// where a function of the program may have taken its time, else as of its
// beginning, which costs a lone packet no second question to the system.
func (b *batch) noteActivity() {
	if b.call.Passed.Packets == 0 {
		return
	}
	now := b.Now
	if b.way == accounting.In && b.Config.RunsIn() || b.way == accounting.Out && b.Config.RunsOut() {
		now = clock.Now()
	}
	b.w.activity.Note(now)
}
