package tstun

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/packet"
)

// batch is the working memory of one Read or Write: the configuration as it
// was when the call began, the packet in hand, and what is to be counted at
// the end.
type batch struct {
	w   *Wrapper
	cfg *config
	now int64 // filter.Now(), the same for all packets
	p   packet.Parsed
	key flow.Key // of p, as the host sees it; with statistics on

	out  [][]byte // inbound packets for the device, in the caller's buffers
	sent []sent   // what was counted for each packet of out
	runs []run
	n    amount

	reply []byte    // what the path wants sent back for p, injected by the caller
	drops int       // packets of this batch that were dropped
	one   [1][]byte // Unbatched's single packet
}

// amount is a number of packets and the sum of their lengths.
type amount struct {
	packets, bytes uint64
}

// run is what consecutive packets of one flow add up to.
type run struct {
	key flow.Key
	amount
}

// sent is how an inbound packet was counted before the device had it.
type sent struct {
	run  int32 // index in runs, -1 with statistics off
	size int32
}

// begin returns a batch for one call, to be put back at its end.
func (w *Wrapper) begin() *batch {
	b, ok := w.batches.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	b.w, b.cfg, b.now = w, w.config.Load(), filter.Now()
	return b
}

// put gives the batch back, without keeping anything of the caller's.
func (b *batch) put() {
	pool := &b.w.batches
	clear(b.out)
	*b = batch{out: b.out[:0], sent: b.sent[:0], runs: b.runs[:0]}
	pool.Put(b)
}

// noteFlow notes for the statistics which flow the packet in hand belongs to:
// none if it is no IP packet.
func (b *batch) noteFlow(key func(*packet.Parsed) flow.Key) {
	switch {
	case b.cfg.stats == nil:
	case b.p.IPVersion == 0:
		b.key = flow.Key{}
	default:
		b.key = key(&b.p)
	}
}

// count notes that the packet in hand went through or was taken, and returns
// the index of its run.
func (b *batch) count(size int) int {
	b.n.packets++
	b.n.bytes += uint64(size)
	if b.cfg.stats == nil {
		return -1
	}
	last := len(b.runs) - 1
	if last < 0 || b.runs[last].key != b.key {
		b.runs = append(b.runs, run{key: b.key})
		last++
	}
	b.runs[last].packets++
	b.runs[last].bytes += uint64(size)
	return last
}

// send counts the packet in hand and puts it, which is in buf from offset on,
// among those for the device.
func (b *batch) send(buf []byte, offset int) {
	size := len(b.p.Buffer())
	b.sent = append(b.sent, sent{run: int32(b.count(size)), size: int32(size)})
	b.out = append(b.out, buf[:offset+size])
}

// unsend takes back the count of the packets that the device did not take:
// all but the first n.
func (b *batch) unsend(n int) {
	for _, s := range b.sent[n:] {
		size := uint64(s.size)
		b.n.packets--
		b.n.bytes -= size
		if s.run >= 0 {
			b.runs[s.run].packets--
			b.runs[s.run].bytes -= size
		}
	}
}

func (b *batch) tallyIn() {
	b.w.tally.passIn(b.n)
	for _, r := range b.runs {
		b.cfg.stats.addRx(r, b.now)
	}
}

func (b *batch) tallyOut() {
	b.w.tally.passOut(b.n)
	for _, r := range b.runs {
		b.cfg.stats.addTx(r, b.now)
	}
}
