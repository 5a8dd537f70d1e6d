package tstun

import (
	"errors"
	"slices"

	"tstun/flow"
	"tstun/internal/clock"
	"tstun/packet"
	"tstun/tundev"
)

// batch is the working memory of one Read or Write: the configuration as it
// was when the call began, the packet in hand, and what is to be counted at
// the end.
type batch struct {
	w   *Wrapper
	cfg *config
	now int64 // when the call began, as clock.Now tells; the same for all packets
	way direction
	p   packet.Parsed
	id  flow.ID // of p, as the host sees it; zero for none

	lease lease
	known bool       // the lease has the filter's verdict on p: it passes
	stamp flow.Stamp // the filter's, on p

	out      [][]byte // inbound packets for the device, in the caller's buffers but for released ones
	sent     []sent   // what was counted for each packet of out
	released []heldFragment
	others   []int // where out has packets that are not the caller's, but released
	runs     []run
	n        amount
	drops    drops

	ledger ledger

	reply   reply     // what the path wants sent back for p, made by the caller
	refused int       // of the caller's packets, those that were dropped
	one     [1][]byte // Unbatched's single packet
}

// amount is a number of packets and the sum of their lengths.
type amount struct {
	packets, bytes uint64
}

func (a *amount) add(size int) {
	a.packets++
	a.bytes += uint64(size)
}

func (a *amount) addAll(other amount) {
	a.packets += other.packets
	a.bytes += other.bytes
}

func (a *amount) sub(size int) {
	a.packets--
	a.bytes -= uint64(size)
}

// run is what consecutive packets of one flow add up to.
type run struct {
	id flow.ID
	amount
}

// sent is how an inbound packet was counted before the device had it.
type sent struct {
	run  int32 // index in runs, -1 with statistics off
	size int32
}

// begin returns a batch for one call with inbound packets. The lane is to be
// left after the call.
func (w *Wrapper) begin() *lane {
	l := w.lanes.enter()
	l.begin(w, dirIn)
	return l
}

func (b *batch) begin(w *Wrapper, way direction) {
	b.w, b.way, b.cfg, b.now = w, way, w.config.Load(), clock.Now()
	w.expireHeld(b.now)
	b.renewLease()
}

// leave ends the call.
func (l *lane) leave() {
	l.end()
	l.busy.Unlock()
}

// end forgets what is the caller's, what was counted and the configuration,
// which may be much, and out of force before the next call. The lease stays.
func (b *batch) end() {
	clear(b.out)
	clear(b.released)
	b.out, b.sent, b.runs = b.out[:0], b.sent[:0], b.runs[:0]
	b.released, b.others = b.released[:0], b.others[:0]
	b.n, b.refused, b.reply, b.known, b.one[0] = amount{}, 0, replyNone, false, nil
	b.p, b.cfg, b.stamp = packet.Parsed{}, nil, flow.Stamp{}
}

// count notes that the packet in hand went through or was taken, and returns
// the index of its run.
func (b *batch) count(size int) int {
	b.n.add(size)
	if b.cfg.stats == nil {
		return -1
	}
	if b.p.IsFragment() {
		b.countFragment()
	}
	last := len(b.runs) - 1
	if last < 0 || !b.runs[last].id.Equal(&b.id) {
		b.runs = append(b.runs, run{id: b.id})
		last++
	}
	b.runs[last].add(size)
	return last
}

// countLeased is count for a packet of so many bytes that the lease covers.
func (b *batch) countLeased(size int) int {
	b.n.add(size)
	if b.cfg.stats == nil {
		return -1
	}
	l := &b.lease
	if l.run < 0 {
		b.runs = append(b.runs, run{id: l.id})
		l.run = len(b.runs) - 1
	}
	b.runs[l.run].add(size)
	return l.run
}

// send puts the packet of size bytes, which is in buf from offset on, has been
// counted and belongs to the given run, among those for the device.
func (b *batch) send(buf []byte, offset, size, run int) {
	b.sent = append(b.sent, sent{run: int32(run), size: int32(size)})
	b.out = append(b.out, buf[:offset+size])
}

// unsendLost takes back the count of the packets that the device did not take
// all but n of, and failed with err.
func (b *batch) unsendLost(n int, err error) {
	var partial *tundev.WriteError
	if errors.As(err, &partial) {
		for _, i := range partial.Lost {
			b.unsend(b.sent[i])
		}
		return
	}
	// Which they are is not known. Some devices return a number of bytes,
	// which only tells whether anything was written.
	for _, s := range b.sent[n:] {
		b.unsend(s)
	}
}

func (b *batch) unsend(s sent) {
	b.n.sub(int(s.size))
	if s.run >= 0 {
		b.runs[s.run].sub(int(s.size))
	}
}

// ownSent returns how many of the first n packets of b.out are the caller's.
func (b *batch) ownSent(n int) int {
	others, _ := slices.BinarySearch(b.others, n)
	return n - others
}

// tally enters what the call has carried and dropped into the books.
func (b *batch) tally() {
	b.noteActivity()
	if len(b.released) == 0 {
		b.ledger.enter(b.n, b.leased(), &b.drops)
	} else {
		b.tallyReleased()
	}
	for i := range b.runs {
		if i != b.lease.run {
			b.cfg.stats.add(&b.runs[i], b.way, b.now, b.cfg.peers)
		}
	}
}

// tallyReleased enters all into the ledger in one moment with what is held no
// more.
func (b *batch) tallyReleased() {
	s := &b.w.held
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(b.released)
	b.ledger.enter(b.n, b.leased(), &b.drops)
}

// leased is what the call has carried of the leased flow.
func (b *batch) leased() amount {
	if b.lease.run < 0 {
		return amount{}
	}
	return b.runs[b.lease.run].amount
}
