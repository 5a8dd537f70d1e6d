package hostnet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A full tunnel has two rules in each of its IP versions. The first asks main
// for all but default routes, so that what is near stays near; the second sends
// what does not bear the mark to the tunnel's table. The mark keeps the tunnel's
// own packets out.
type rule struct {
	family   int
	priority int
	mark     uint32 // of the second, and its table; 0: the first
}

func (r rule) String() string {
	if r.mark == 0 {
		return fmt.Sprintf("%s rule %d: main without default routes", familyName(r.family), r.priority)
	}
	return fmt.Sprintf("%s rule %d: all but mark %d to table %d", familyName(r.family), r.priority, r.mark, r.mark)
}

func (r rule) message() *netlink.Rule {
	m := netlink.NewRule()
	m.Family, m.Priority, m.Protocol = r.family, r.priority, protocol
	if r.mark == 0 {
		m.Table, m.SuppressPrefixlen = tableMain, 0
	} else {
		m.Table, m.Mark, m.Invert = int(r.mark), r.mark, true
	}
	return m
}

// ruleOf returns what message made, or false.
func ruleOf(m netlink.Rule) (rule, bool) {
	r := rule{m.Family, m.Priority, m.Mark}
	first := !m.Invert && m.Mark == 0 && m.Table == tableMain && m.SuppressPrefixlen == 0
	second := m.Invert && m.Mark != 0 && m.Table == int(m.Mark)
	return r, m.Protocol == protocol && (first || second)
}

// rules returns the rules that shall be: of each IP version the harmless one
// comes first.
func (s *setting) rules() (rules []rule) {
	for _, family := range families {
		if s.layout.isFull(family == unix.AF_INET6) {
			rules = append(rules, rule{family, s.state.Priority - 1, 0}, rule{family, s.state.Priority, s.markUsed})
		}
	}
	return rules
}

// addRules adds the rules that are missing.
func (s *setting) addRules() error {
	if len(s.layout.marked) == 0 {
		return nil
	}
	if err := s.choosePriority(); err != nil {
		return err
	}
	have, err := s.allRules()
	if err != nil {
		return err
	}
	for _, r := range s.rules() {
		there := slices.ContainsFunc(have, func(m netlink.Rule) bool { got, ours := ruleOf(m); return ours && got == r })
		if there {
			continue
		}
		if err := s.do(func() error { return s.nl.RuleAdd(r.message()) }, "add %s", r); err != nil {
			return err
		}
	}
	return nil
}

// choosePriority reserves priorities before all rules but the kernel's first.
func (s *setting) choosePriority() error {
	if s.state.Priority != 0 {
		return nil
	}
	return s.journal.exclusive(func(others []state) error {
		lowest := 32766 // of the rule that asks main, linux/fib_rules.c
		rules, err := s.allRules()
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Priority > 0 {
				lowest = min(lowest, r.Priority)
			}
		}
		for _, o := range others {
			if o.Priority > 0 {
				lowest = min(lowest, o.Priority-1)
			}
		}
		if lowest < 3 {
			return fmt.Errorf("a rule has priority %d, so that there is no room before it: give it another (ip rule)", lowest)
		}
		s.state.Priority = lowest - 1
		return s.save()
	})
}

func (s *setting) removeStaleRules() error { return s.removeRules(s.rules()) }

// removeRules removes this interface's rules but for those to keep: those of
// our protocol that have the priorities in the state. The harmless ones go last.
func (h *host) removeRules(keep []rule) error {
	if h.state.Priority == 0 {
		return nil
	}
	all, err := h.allRules()
	if err != nil {
		return err
	}
	var stale []rule
	for _, m := range all {
		r, ours := ruleOf(m)
		if ours && (r.priority == h.state.Priority || r.priority == h.state.Priority-1) && !slices.Contains(keep, r) {
			stale = append(stale, r)
		}
	}
	if err := h.deleteRules(stale); err != nil || keep != nil {
		return err
	}
	h.state.Priority = 0
	return h.save()
}

func (h *host) deleteRules(rules []rule) error {
	slices.SortFunc(rules, func(a, b rule) int { return b.priority - a.priority })
	var errs []error
	for _, r := range rules {
		err := h.do(func() error { return h.nl.RuleDel(r.message()) }, "remove %s", r)
		if !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h *host) allRules() (all []netlink.Rule, err error) {
	for _, family := range families {
		list, err := dump(func() ([]netlink.Rule, error) { return h.nl.RuleList(family) })
		if err != nil {
			return nil, fmt.Errorf("list %s rules: %w", familyName(family), err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// removeOrphans removes rules of our protocol that no journal names and whose
// table is empty: their journal is lost.
func (h *host) removeOrphans() error {
	all, err := h.allRules()
	if err != nil || !slices.ContainsFunc(all, func(m netlink.Rule) bool { return m.Protocol == protocol }) {
		return err
	}
	return h.journal.exclusive(func(others []state) error {
		used, err := h.tablesInUse()
		if err != nil {
			return err
		}
		return h.deleteRules(orphans(all, others, used))
	})
}

// orphans returns the rules of our protocol whose owner is gone. The first rule
// of a pair goes with the second.
func orphans(all []netlink.Rule, others []state, used map[int]bool) (orphans []rule) {
	alive := make(map[int]bool) // priorities
	for _, o := range others {
		alive[o.Priority], alive[o.Priority-1] = true, true
	}
	for _, m := range all {
		if r, ours := ruleOf(m); ours && r.mark != 0 && used[int(r.mark)] {
			alive[r.priority], alive[r.priority-1] = true, true
		}
	}
	for _, m := range all {
		if r, ours := ruleOf(m); ours && !alive[r.priority] {
			orphans = append(orphans, r)
		}
	}
	return orphans
}
