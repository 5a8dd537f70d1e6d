package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tstun/logger"
)

// Host is the part of the host's network that belongs to one interface. Its
// methods may be called from any goroutine whose thread is in the network
// namespace that New was called in, and wait for each other.
type Host struct {
	host
}

// New takes charge of the interface ifname, which need not exist before Set,
// and first removes what a killed process left of it. stateDir is where
// journals lie, such as /run/tstun: one directory for each network namespace,
// made if absent. A reboot has to empty it, as it does the kernel's tables.
//
// It fails if another process has a Host for the interface. logf hears of each
// change before it is made.
func New(ifname, stateDir string, logf logger.Logf) (*Host, error) {
	if err := checkName(ifname); err != nil {
		return nil, fmt.Errorf("hostnet: %w", err)
	}
	h := new(Host)
	if err := h.open(ifname, stateDir, logf); err != nil {
		return nil, fmt.Errorf("hostnet: take charge of %s: %w", ifname, err)
	}
	return h, nil
}

// Mark returns the mark that the tunnel's own packets must bear under c: c's
// FwMark, or if that is 0 and c is a full tunnel, one that nobody uses and that
// stays reserved until Close. 0 means that none is needed.
//
// A WireGuard device has to be given the mark before Set: between the two its
// packets would be routed into the tunnel.
func (h *Host) Mark(c Config) (uint32, error) {
	if err := c.validate(); err != nil {
		return 0, fmt.Errorf("hostnet: %w", err)
	}
	mark, err := h.mark(&c)
	if err != nil {
		return 0, fmt.Errorf("hostnet: choose a mark for %s: %w", h.name, err)
	}
	return mark, nil
}

// Set makes the host's network what c says, in an order in which flows that
// stay go on: what is new comes before what is stale goes. The interface must
// exist. A Config that cannot be is refused before anything changes. After
// another error, what was done so far stands until the next Set or Close.
//
// The warnings say what c asks for and the host does not give. Every Set
// returns all that stand.
func (h *Host) Set(c Config) ([]Warning, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("hostnet: %w", err)
	}
	warnings, err := h.set(&c)
	if err != nil {
		return warnings, fmt.Errorf("hostnet: set %s: %w", h.name, err)
	}
	return warnings, nil
}

// Close undoes in reverse what Set did, also if that failed half-way or if the
// interface is gone. What cannot be undone does not keep it from the rest; it
// is in the error, and a second Close, or New, tries again. Once all is undone,
// Close does nothing, and Mark and Set return os.ErrClosed.
func (h *Host) Close() error {
	if err := h.close(); err != nil {
		return fmt.Errorf("hostnet: undo %s: %w", h.name, err)
	}
	return nil
}

const journalSuffix = ".journal"

// HasJournal reports whether ifname has a journal in stateDir: a process has
// charge of the interface, or was killed and left something. New and Close then
// remove what it left.
func HasJournal(ifname, stateDir string) (bool, error) {
	if err := checkName(ifname); err != nil {
		return false, fmt.Errorf("hostnet: %w", err)
	}
	_, err := os.Stat(filepath.Join(stateDir, ifname+journalSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("hostnet: look for the journal of %s: %w", ifname, err)
	}
	return true, nil
}
