package hostnet

import "github.com/vishvananda/netlink"

// firstMark is where wg-quick(8) starts to look for a free mark, WireGuard's
// port.
const firstMark = 51820

func (s *setting) reserveMark() (err error) {
	s.markUsed, err = s.chooseMark(s.config, &s.layout)
	return err
}

// chooseMark returns the mark under c. One that was chosen stays.
func (h *host) chooseMark(c *Config, l *layout) (uint32, error) {
	switch {
	case c.FwMark != 0 || len(l.marked) == 0:
		return c.FwMark, nil
	case h.state.Mark != 0:
		return h.state.Mark, nil
	}
	err := h.journal.exclusive(func(others []state) error {
		used, err := h.marksInUse(others)
		if err != nil {
			return err
		}
		h.state.Mark = firstMark
		for used(h.state.Mark) {
			h.state.Mark++
		}
		return h.save()
	})
	return h.state.Mark, err
}

// marksInUse returns a function that reports whether a number is in use: as a
// table with routes or rules, by a rule as a mark, or by another interface that
// may not have its routes yet.
func (h *host) marksInUse(others []state) (func(uint32) bool, error) {
	tables, err := h.tablesInUse()
	if err != nil {
		return nil, err
	}
	rules, err := h.allRules()
	if err != nil {
		return nil, err
	}
	for _, r := range rules {
		tables[r.Table] = true
	}
	for _, o := range others {
		tables[int(o.Mark)] = true
	}
	return func(n uint32) bool {
		for _, r := range rules {
			if matches(r, n) {
				return true
			}
		}
		return tables[int(n)]
	}, nil
}

// matches reports whether a rule that asks for a mark means n.
func matches(r netlink.Rule, n uint32) bool {
	if r.Mark == 0 || r.Mask == nil {
		return false
	}
	return n&*r.Mask == r.Mark
}
