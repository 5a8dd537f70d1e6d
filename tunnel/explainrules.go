package tunnel

import (
	"fmt"
	"net/netip"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/policy"
)

// rules says what the filter makes of the first packet of the flow.
func (q *question) rules() Check {
	d := filter.Outbound
	if q.in {
		d = filter.Inbound
	}
	e := q.t.ExplainNew(d, q.Flow)
	q.t.policyMu.Lock()
	p, status := q.t.policy, q.t.policyStatus
	q.t.policyMu.Unlock()
	switch {
	case e.Response.IsDrop():
		return refusedBy(p, &status, q.Flow, e)
	case !q.in && !e.Answered:
		return Check{Step: StepRules, Code: "unanswered", Text: e.Text, Advice: unansweredAdvice(p, &status, q.own)}
	case e.Rule >= 0 && p != nil:
		return good(StepRules, "rule %d, %v, allows it: %v", e.Rule, p.Rule(e.Rule), p.Words(e.Rule))
	case e.Rule >= 0 && status.File == "" && q.l.Setup == nil:
		return good(StepRules, "there is no policy: all that the allowed IPs admit is accepted")
	}
	return good(StepRules, "%s", e.Text)
}

func unansweredAdvice(p *policy.Policy, s *PolicyStatus, own netip.Addr) string {
	if p == nil {
		return "begin the flow at one of the tunnel's own addresses"
	}
	return fmt.Sprintf("add %v to local in %s, or begin the flow at an address that it has", own, s.File)
}

// refusedBy returns the Check of a flow that the filter refuses.
func refusedBy(p *policy.Policy, s *PolicyStatus, f policy.Flow, e filter.Explanation) Check {
	c := Check{Step: StepRules, Code: e.Reason.String(), Text: e.Text, Advice: dropAdvice(e.Reason)}
	if s.Error != "" {
		c.Evidence = "the policy file is wrong, and the one before it is in force: " + s.Error
	}
	if p == nil {
		return c
	}
	switch n := e.Nearest; {
	case !n.IsZero():
		c.Text += " " + p.Nearest(f, n)
		c.Advice = fmt.Sprintf("if it is to pass, change that rule, at %v (%v), or add one", p.Rule(n.Rule), p.Words(n.Rule))
	case e.Reason == filter.ReasonNoRule:
		c.Advice = fmt.Sprintf("if it is to pass, add a rule to %s: none is for this source or this destination", s.File)
	case e.Reason == filter.ReasonNotLocal:
		c.Advice = fmt.Sprintf("if it is to pass, add %v to local in %s", f.Dst.Addr(), s.File)
	}
	return c
}

// state says which flows between the two are open, and what was refused between
// them while records are kept.
func (q *question) state() Check {
	if q.t.records == nil {
		return good(StepState, "not known: no records of flows are kept")
	}
	q.t.explaining.Lock()
	defer q.t.explaining.Unlock()
	s := q.t.wrapper.Flows()
	var open, revoked, refused uint64
	var last, lastRefused time.Time
	for r := range s.All {
		if r.End != tstun.FlowOpen || !q.isOf(r.Src, r.Dst) || r.Proto != q.Proto {
			continue
		}
		open++
		if r.Revoked {
			revoked++
		}
		last = later(last, r.Last)
	}
	for r := range s.Refused {
		if !r.More && r.Proto == q.Proto && (r.Direction == filter.Inbound) == q.in && q.isOf(r.Src, r.Dst) {
			refused += r.Packets
			lastRefused = later(lastRefused, r.Last)
		}
	}
	text := "no such flow is open"
	if open > 0 {
		text = fmt.Sprintf("open: %s, last packet %s", count(int(open), "flow"), age(s.Time, last))
	}
	if revoked > 0 {
		text += fmt.Sprintf("; %d of them the rules in force do not allow any more", revoked)
	}
	if refused > 0 {
		text += fmt.Sprintf("; refused: %s, the last %s", count(int(refused), "packet"), age(s.Time, lastRefused))
	}
	return good(StepState, "%s", text)
}

// audit says what the second policy makes of the flow, or nothing without one.
func (q *question) audit() []Check {
	p, f := q.t.tried()
	if f == nil {
		return nil
	}
	d := filter.Outbound
	if q.in {
		d = filter.Inbound
	}
	e := p.Explain(f, d, q.Flow)
	file := q.t.auditStatus().File
	switch {
	case !e.Response.IsDrop() && e.Rule >= 0:
		return []Check{good(StepAudit, "%s, which is tried, allows it: rule %d, %v", file, e.Rule, p.Rule(e.Rule))}
	case !e.Response.IsDrop():
		return []Check{good(StepAudit, "%s, which is tried: %s", file, e.Text)}
	case !e.Nearest.IsZero():
		return []Check{good(StepAudit, "%s, which is tried, would refuse it: %s", file, p.Nearest(q.Flow, e.Nearest))}
	}
	return []Check{good(StepAudit, "%s, which is tried, would refuse it: %s", file, e.Text)}
}

// isOf reports whether a record between the host's side and the peer's is one of the
// flow, whatever port its beginner has.
func (q *question) isOf(host, peer netip.AddrPort) bool {
	dst, src := peer, host
	if q.in {
		dst, src = host, peer
	}
	return src.Addr() == q.Src && dst.Addr() == q.Dst.Addr() && (!q.Proto.HasPorts() || dst.Port() == q.Dst.Port())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// age says how long ago something was.
func age(now, then time.Time) string {
	if then.IsZero() {
		return "not known"
	}
	return fmt.Sprintf("%v ago", max(0, now.Sub(then)).Round(time.Second))
}
