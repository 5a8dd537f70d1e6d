package filter

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tstun/internal/lpm"
	"tstun/ipproto"
	"tstun/logger"
	"tstun/packet"
)

// The log has at most logBurst lines at once, and logRate lines a second in the long
// run. Further ones are left out. The next line says how many.
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

// wants reports whether an event between two addresses at now is to be logged. It counts
// those that the rate limit leaves out. l may be nil. The zero dst stands for any.
func (l *eventLog) wants(src, dst netip.Addr, now int64) bool {
	if l == nil || !l.ips.Contains(src.Unmap()) || dst.IsValid() && !l.ips.Contains(dst.Unmap()) {
		return false
	}
	if !l.limit.AllowN(time.Unix(0, now), 1) {
		l.omitted.Add(1)
		return false
	}
	return true
}

// write logs one line about what, of so many bytes, and how many lines were left out
// before it.
func (l *eventLog) write(direction string, v Verdict, what any, bytes uint64) {
	if n := l.omitted.Swap(0); n > 0 {
		l.logf("filter: %s %v %v, %d bytes, reason %v; %d lines left out before", direction, v.Response, what, bytes, v.Reason, n)
		return
	}
	l.logf("filter: %s %v %v, %d bytes, reason %v", direction, v.Response, what, bytes, v.Reason)
}

// Logs reports whether f has a log.
func (f *Filter) Logs() bool { return f.log != nil }

// LogRefused logs that a flow is refused for r, of which the first packets, of so many bytes
// in all, came at now. It is for who records refused flows and calls In and Out without
// LogDrops: the log has a line for a flow then, not for each of its packets. dst is the zero
// AddrPort where several flows of src are summed up.
func (f *Filter) LogRefused(d Direction, proto ipproto.Proto, src, dst netip.AddrPort, bytes uint64, r Reason, now int64) {
	v := verdictFor(r)
	if !r.IsFilters() || v.Response != Drop || !f.log.wants(src.Addr(), dst.Addr(), now) {
		return
	}
	what := fmt.Sprintf("flow %v{%v > %v}", proto, src, dst)
	if !dst.IsValid() {
		what = fmt.Sprintf("more flows of %v", src.Addr())
	}
	f.log.write(d.String(), v, what, bytes)
}

// LogDrop logs that the caller drops the inbound packet p for r, as In with LogDrops
// would.
func (f *Filter) LogDrop(p *packet.Parsed, now int64, r Reason) {
	f.logIn(p, now, LogDrops, r, false)
}

// logIn logs the verdict on the inbound packet p if flags ask for it. begins says
// whether p starts a flow.
func (f *Filter) logIn(p *packet.Parsed, now int64, flags RunFlags, r Reason, begins bool) {
	f.logEvent("in", p, now, flags, r, begins)
}

// logOut logs the verdict on the outbound packet p if flags ask for it. The state does
// not have p's flow yet if p starts one.
func (f *Filter) logOut(p *packet.Parsed, now int64, flags RunFlags, r Reason) {
	begins := false
	if r == ReasonNone && flags&LogAccepts != 0 && f.log != nil {
		if k, ok := outKey(p); ok {
			_, st := f.peek(k, now, false)
			begins = st == ctNew
		}
	}
	f.logEvent("out", p, now, flags, r, begins)
}

func (f *Filter) logEvent(direction string, p *packet.Parsed, now int64, flags RunFlags, r Reason, begins bool) {
	switch v := verdictFor(r); {
	case v.Response == Drop && flags&LogDrops != 0, v.Response == Accept && begins && flags&LogAccepts != 0:
		if f.log.wants(p.Src.Addr(), p.Dst.Addr(), now) {
			f.log.write(direction, v, p, uint64(len(p.Buffer())))
		}
	}
}
