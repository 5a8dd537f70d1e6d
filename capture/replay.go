package capture

import (
	"fmt"
	"io"
	"math"
	"time"

	"tstun/filter"
	"tstun/flow"
)

// ReplayOptions say how a file is played. The zero value plays it alone.
type ReplayOptions struct {
	// Peers tells whose an address is, for the shares of the filter's State. nil: each
	// address is a peer of its own.
	Peers filter.Peers
	// Each is shown each packet, in order, after it was judged. What it is given is valid
	// during the call. An error ends the replay, which returns it. nil: nobody is.
	Each func(*Replayed) error
}

// Replayed is a packet of a file that was played.
type Replayed struct {
	Number  int       // in the file, from 1
	Time    time.Time // as recorded
	Inbound bool
	// Packet is what was recorded of it; its length was Length.
	Packet []byte
	Length int
	// Comment is the first of its comments that is a Note's, or "".
	Comment string
	// Note is the Comment, read. Without one it is the zero Note.
	Note Note
	// Verdict is the filter's on it now, or the Note's if Judged is false.
	Verdict filter.Verdict
	// Judged is false of packets that a Wrapper does not ask its filter about: those that
	// were injected, and those that were dropped around the filter.
	Judged bool
}

// Differs reports whether the filter says something else than the Note does.
func (p *Replayed) Differs() bool {
	if !p.Judged || p.Comment == "" {
		return false
	}
	then, now := p.Note.Verdict, p.Verdict
	return then.Response.IsDrop() != now.Response.IsDrop() || then.Reason != now.Reason
}

// Result counts the packets of a replay.
type Result struct {
	In, Out Verdicts
	// Different are the packets of which Replayed.Differs is true.
	Different uint64
	// Evicted are the flows and fragmented datagrams for which the filter's State had no
	// room, or for which others went. Which these are is different in each process, so that
	// the rest of the Result is exact only if Evicted is 0; see filter.Limits.
	Evicted uint64
}

// Verdicts counts packets of one direction: those that passed, among them those that a
// hook had taken, and those that were dropped, by reason.
type Verdicts struct {
	Passed uint64
	Drops  [filter.NumReasons]uint64
}

func (v *Verdicts) count(verdict filter.Verdict) {
	if verdict.Response.IsDrop() {
		v.Drops[verdict.Reason]++
	} else {
		v.Passed++
	}
}

// Replay judges the packets of a pcapng file by f, each at its recorded time, in the
// order of the file. f should have a State of its own, which no packet has touched: then
// the same file and the same configuration give the same Result on every machine, as long
// as Result.Evicted is 0. Times are those of the file alone.
//
// A packet that was cut is judged as if it had zeros for what is missing, which is no
// different for a filter, if its headers are there. The filter alone judges: hooks, NAT,
// jailed peers and PeerAPIPort of the Wrapper that was recorded have no part. What they
// let through or took shows as a difference.
//
// The file may be one of tshark's or editcap's, also compressed by gzip, as long as its
// packets are raw IP (link types RAW, IPV4 and IPV6) and have a direction. Errors name the
// packet. Replay holds one packet of the file at a time, and refuses a file with more than
// 4 MiB of anything else. It does not close r.
func Replay(r io.Reader, f *filter.Filter, o ReplayOptions) (Result, error) {
	p := player{f: f, o: o}
	before := evictions(f)
	err := p.play(r)
	p.result.Evicted = evictions(f) - before
	return p.result, err
}

// evictions returns for how many entries the State of f had no room.
func evictions(f *filter.Filter) uint64 {
	s := f.State().Stats()
	return s.Flows.Evicted + s.Flows.Refused + s.Fragments.Evicted + s.Fragments.Refused
}

// player plays a file.
type player struct {
	f      *filter.Filter
	o      ReplayOptions
	file   *Reader
	result Result

	packet Replayed
	first  time.Time // of the first packet
}

const (
	// epoch is the time of the first packet, as the filter sees it. Packets may be
	// recorded a little before those in front of them.
	epoch = int64(time.Hour)
	// maxSpan is how long a file's time may be, so that the filter's sums of times stay in
	// range.
	maxSpan = math.MaxInt64 / 4
)

func (p *player) play(r io.Reader) (err error) {
	if p.file, err = NewReader(r); err != nil {
		return err
	}
	for {
		recorded, err := p.file.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.next(recorded); err != nil {
			return p.file.wrap(err)
		}
	}
}

// next plays a packet.
func (p *player) next(r *Recorded) error {
	p.packet = Replayed{
		Number: r.Number, Time: r.Time, Inbound: r.Inbound, Packet: r.Packet, Length: r.Length, Comment: r.Comment, Note: r.Note,
	}
	now, err := p.time(r.Time)
	if err != nil {
		return err
	}
	p.judge(now)
	return p.show()
}

// time returns the filter's time of a packet.
func (p *player) time(t time.Time) (int64, error) {
	if p.first.IsZero() {
		p.first = t
	}
	now := t.Sub(p.first)
	if now < -time.Duration(epoch)+1 || now > maxSpan {
		return 0, fmt.Errorf("its time, %v, is too far from the first packet's, %v", t.Format(time.RFC3339Nano), p.first.Format(time.RFC3339Nano))
	}
	return epoch + int64(now), nil
}

// judge has the filter judge the packet, and record it if it went out.
func (p *player) judge(now int64) {
	r := &p.packet
	parsed := p.file.Parsed()
	noted := r.Note.Verdict
	r.Judged = !r.Note.Injected && (r.Comment == "" || !noted.Response.IsDrop() || noted.Reason.IsFilters())
	r.Verdict = noted
	var id flow.ID
	if r.Inbound {
		if r.Judged {
			id.SetIn(parsed)
			r.Verdict, _ = p.f.InRun(parsed, &id, now, 0, p.o.Peers, nil)
		}
		return
	}
	if r.Judged {
		r.Verdict = p.f.Out(parsed, now, 0)
	}
	// What a hook took or dropped has opened no flow.
	if r.Verdict.Response == filter.Accept && (r.Comment == "" || noted.Response == filter.Accept) {
		id.SetOut(parsed)
		p.f.RecordRun(parsed, &id, now, 0, p.o.Peers, nil)
	}
}

// show counts the packet and shows it to who asked for it.
func (p *player) show() error {
	r := &p.packet
	if r.Inbound {
		p.result.In.count(r.Verdict)
	} else {
		p.result.Out.count(r.Verdict)
	}
	if r.Differs() {
		p.result.Different++
	}
	if p.o.Each == nil {
		return nil
	}
	return p.o.Each(r)
}
