package hostnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// state is what must be known to undo what bears no tag of ours.
type state struct {
	Index        int            `json:"index,omitempty"` // of the interface that Link and Addrs are about
	Link         *linkState     `json:"link,omitempty"`  // as it was before
	Addrs        []netip.Prefix `json:"addrs,omitempty"` // that were not there before
	Mark         uint32         `json:"mark,omitempty"`  // and number of the full tunnel's table
	Priority     int            `json:"priority,omitempty"`
	SrcValidMark *int           `json:"src_valid_mark,omitempty"` // as it was before
	DNS          *dnsRecord     `json:"dns,omitempty"`
}

type linkState struct {
	MTU int  `json:"mtu"`
	Up  bool `json:"up"`
}

// journal keeps a state in a file: a line of JSON for each state, of which the
// last whole one counts. Its lock says that the process is alive.
type journal struct {
	file *os.File
	dir  string
	last []byte
}

// openJournal locks the interface's journal, which is made if absent, and
// returns it with the state that a killed process left.
func openJournal(dir, name string) (*journal, state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, state{}, fmt.Errorf("%w: name a directory for state that can be written, such as /run/tstun", err)
	}
	path := filepath.Join(dir, name+journalSuffix)
	file, err := lockFile(path)
	if err != nil {
		return nil, state{}, err
	}
	text, err := io.ReadAll(file)
	if err == nil {
		s, last, parseErr := parseJournal(text)
		if err = parseErr; err == nil {
			return &journal{file, dir, last}, s, nil
		}
	}
	file.Close()
	return nil, state{}, fmt.Errorf("%s: %w: remove it once the interface's rules and DNS are in order", path, err)
}

// lockFile opens and locks the file. Who holds the lock may remove the file, so
// that the one that was opened may be another by the time it is locked.
func lockFile(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("another process has charge of it (it holds %s): end that one first", path)
		}
		if err != nil {
			file.Close()
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		held, heldErr := file.Stat()
		there, thereErr := os.Stat(path)
		if heldErr == nil && thereErr == nil && os.SameFile(held, there) {
			return file, nil
		}
		file.Close()
	}
}

// parseJournal returns the last state of a journal, and its line. A line
// without an end was being written when the process was killed: what it was to
// announce was not done.
func parseJournal(text []byte) (s state, last []byte, err error) {
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	if len(whole) == 0 {
		return state{}, nil, nil
	}
	lines := bytes.SplitAfter(whole[:len(whole)-1], []byte("\n"))
	last = lines[len(lines)-1]
	if err := json.Unmarshal(last, &s); err != nil {
		return state{}, nil, fmt.Errorf("line %d: %w", len(lines), err)
	}
	if err := s.check(); err != nil {
		return state{}, nil, fmt.Errorf("line %d: %w", len(lines), err)
	}
	return s, last, nil
}

// check refuses what save never writes.
func (s *state) check() error {
	for i, a := range s.Addrs {
		if !a.IsValid() {
			return fmt.Errorf("address %d is none", i+1)
		}
	}
	switch {
	case s.SrcValidMark != nil && (*s.SrcValidMark < 0 || *s.SrcValidMark > 1):
		return fmt.Errorf("src_valid_mark %d is neither 0 nor 1", *s.SrcValidMark)
	case s.Priority < 0 || s.Priority == 1:
		return fmt.Errorf("priority %d cannot be a rule's", s.Priority)
	case s.DNS != nil:
		return s.DNS.check()
	}
	return nil
}

// save writes the state, unless it is the last one still. A partial line of a
// killed process ends here.
func (j *journal) save(s *state) error {
	line, err := json.Marshal(s)
	if err != nil || bytes.Equal(line, j.last) {
		return err
	}
	if err := j.endLine(); err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w: make room for the journal", err)
	}
	j.last = line
	return nil
}

// endLine cuts off what a write that failed left behind the last whole line.
func (j *journal) endLine() error {
	text, err := os.ReadFile(j.file.Name())
	if err != nil {
		return err
	}
	return j.file.Truncate(int64(bytes.LastIndexByte(text, '\n') + 1))
}

// release unlocks the journal, and keeps it if it tells of anything.
func (j *journal) release() error {
	if len(j.last) > len("{}") {
		return j.file.Close()
	}
	return j.remove()
}

// remove removes the journal and unlocks it.
func (j *journal) remove() error {
	return errors.Join(os.Remove(j.file.Name()), j.file.Close())
}

// others returns the states of the directory's other journals, those of killed
// processes too: what they name is in use.
func (j *journal) others() (states []state, err error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), journalSuffix) || e.Name() == filepath.Base(j.file.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(j.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s, _, parseErr := parseJournal(text)
		if err := errors.Join(err, parseErr); err != nil {
			return nil, fmt.Errorf("journal %s: %w", e.Name(), err)
		}
		states = append(states, s)
	}
	return states, nil
}

// exclusive runs f while no other Host of the directory is in exclusive, with
// the states of the others.
func (j *journal) exclusive(f func(others []state) error) error {
	dir, err := os.Open(j.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "lock", Path: j.dir, Err: err}
	}
	others, err := j.others()
	if err != nil {
		return err
	}
	return f(others)
}
