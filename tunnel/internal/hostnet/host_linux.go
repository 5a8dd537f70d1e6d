package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tstun/logger"
)

// protocol marks our routes and rules. It is free in iproute2's rt_protos and
// in FRRouting's list.
const protocol = 151

type host struct {
	name string
	logf logger.Logf

	mu      sync.Mutex // guards what follows
	nl      *netlink.Handle
	journal *journal // nil once closed
	state   state    // as the journal has it
}

func (h *host) open(name, dir string, logf logger.Logf) (err error) {
	h.name, h.logf = name, logf
	if h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	if h.journal, h.state, err = openJournal(dir, name); err != nil {
		h.nl.Close()
		return err
	}
	if err := h.undo(); err != nil {
		h.nl.Close()
		return fmt.Errorf("remove what a killed process left: %w", errors.Join(err, h.journal.release()))
	}
	return nil
}

func (h *host) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil {
		return nil
	}
	if err := h.undo(); err != nil {
		return err
	}
	err := h.journal.remove()
	h.journal = nil
	h.nl.Close()
	return err
}

// undo removes what h or a killed process did, in reverse, and does not stop at
// errors. Without a trace of anything it changes nothing.
func (h *host) undo() error {
	index, err := h.index()
	if err != nil {
		return err
	}
	err = errors.Join(
		h.clearDNS(index),
		h.removeRules(nil),
		h.removeRoutes(index, nil),
		h.removeGuard(),
		h.restoreSrcValidMark(),
		h.removeOrphans(),
		h.restoreLink(index),
	)
	if err == nil {
		h.state = state{} // the mark is free
		err = h.save()
	}
	return err
}

func (h *host) mark(c *Config) (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil {
		return 0, os.ErrClosed
	}
	l := c.layout()
	return h.chooseMark(c, &l)
}

func (h *host) set(c *Config) (warnings []Warning, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil {
		return nil, os.ErrClosed
	}
	link, err := h.link()
	if err != nil {
		return nil, err
	}
	s := &setting{host: h, asked: c, config: c, index: link.Attrs().Index}
	for _, step := range []func() error{
		s.setMTU, s.judgeIPv6, s.setAddresses, s.setUp, s.reserveMark, s.setSrcValidMark, s.setGuard,
		s.addRoutes, s.addRules, s.removeStaleRules, s.removeStaleRoutes, s.removeUnused, s.setDNS, s.warn,
	} {
		if err := step(); err != nil {
			return s.warnings, err
		}
	}
	return s.warnings, nil
}

// setting is one Set.
type setting struct {
	*host
	asked    *Config // as the caller gave it
	config   *Config // what of it the interface can have
	index    int     // of the interface
	layout   layout
	markUsed uint32
	warnings []Warning
}

func (s *setting) warnf(kind WarningKind, format string, args ...any) {
	s.warnings = append(s.warnings, Warning{kind, fmt.Sprintf(format, args...)})
}

// do logs what comes, does it, and names it in the error.
func (h *host) do(f func() error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	h.logf("hostnet: %s: %s", h.name, what)
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", what, advised(err))
	}
	return nil
}

// save writes the state to the journal. It comes before what the state tells.
func (h *host) save() error { return h.journal.save(&h.state) }

// advised adds what to do about a missing right.
func advised(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run as root, or with CAP_NET_ADMIN", err)
	}
	return err
}

// dumpTries is how often a list is asked for that changes while it is read.
const dumpTries = 20

// dump asks for a list until it comes whole. A family that the kernel lacks has
// an empty one.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range dumpTries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	return all, err
}

// families are the IP versions, with IPv4 first.
var families = [...]int{unix.AF_INET, unix.AF_INET6}

func familyOf(is6 bool) int {
	if is6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func familyName(family int) string {
	if family == unix.AF_INET6 {
		return "IPv6"
	}
	return "IPv4"
}
