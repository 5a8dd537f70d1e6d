package filter

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tstun/internal/lpm"
	"tstun/logger"
	"tstun/packet"
)

// At most logBurst lines are logged at once, and logRate a second in the long
// run. Further ones are left out, and the next line says how many.
const (
	logRate  = 10
	logBurst = 50
)

// eventLog writes one line for each event between logged addresses.
type eventLog struct {
	logf  logger.Logf
	ips   *lpm.Set
	limit *rate.Limiter

	omitted atomic.Uint64 // lines since the last one
}

func newEventLog(logf logger.Logf, ips *lpm.Set) *eventLog {
	return &eventLog{logf: logf, ips: ips, limit: rate.NewLimiter(logRate, logBurst)}
}

// wants reports whether an event of p at now is to be logged.
func (l *eventLog) wants(p *packet.Parsed, now int64) bool {
	if l == nil || !l.ips.Contains(p.Src.Addr().Unmap()) || !l.ips.Contains(p.Dst.Addr().Unmap()) {
		return false
	}
	if !l.limit.AllowN(time.Unix(0, now), 1) {
		l.omitted.Add(1)
		return false
	}
	return true
}

// write logs one line, and how many were left out before it.
func (l *eventLog) write(direction string, p *packet.Parsed, v Verdict) {
	if n := l.omitted.Swap(0); n > 0 {
		l.logf("filter: %s %v %v, %d bytes, reason %v; %d lines left out before", direction, v.Response, p, len(p.Buffer()), v.Reason, n)
		return
	}
	l.logf("filter: %s %v %v, %d bytes, reason %v", direction, v.Response, p, len(p.Buffer()), v.Reason)
}

// LogDrop logs, like In with LogDrops, that the caller drops the inbound packet
// p for r, without asking In.
func (f *Filter) LogDrop(p *packet.Parsed, now int64, r Reason) {
	f.logIn(p, now, LogDrops, r, false)
}

// logIn logs the verdict on the inbound packet p if it is an event that flags
// ask for.
func (f *Filter) logIn(p *packet.Parsed, now int64, flags RunFlags, r Reason, begins bool) {
	f.logEvent("in", p, now, flags, r, begins)
}

// logOut is logIn for outbound packets.
func (f *Filter) logOut(p *packet.Parsed, now int64, flags RunFlags, r Reason) {
	begins := false
	if r == ReasonNone && flags&LogAccepts != 0 && f.log != nil {
		if k, ok := outKey(p); ok && formReason(p) == ReasonNone {
			_, st := f.peek(k, now, false)
			begins = st == ctNew
		}
	}
	f.logEvent("out", p, now, flags, r, begins)
}

func (f *Filter) logEvent(direction string, p *packet.Parsed, now int64, flags RunFlags, r Reason, begins bool) {
	switch v := verdictFor(r); {
	case v.Response == Drop && flags&LogDrops != 0, v.Response == Accept && begins && flags&LogAccepts != 0:
		if f.log.wants(p, now) {
			f.log.write(direction, p, v)
		}
	}
}
