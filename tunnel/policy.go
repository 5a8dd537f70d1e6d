package tunnel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tstun/filter"
	"tstun/policy"
)

// PolicyStatus is which policy is in force, and what became of the last attempt
// to read the file. Without a policy it is the zero value.
type PolicyStatus struct {
	File string `json:"file,omitempty"`
	// Hash is the SHA-256 of what is in force, in hexadecimal.
	Hash string `json:"hash,omitempty"`
	// Loaded is when that came into force.
	Loaded time.Time `json:"loaded,omitzero"`
	// Rules is how many rules it has.
	Rules int `json:"rules,omitempty"`
	// TrialUntil is when what was in force before comes back, or the zero value: what is
	// in force is not being tried.
	TrialUntil time.Time `json:"trialUntil,omitzero"`
	// Error says why the file, as it was last read, was refused, or is empty.
	Error string `json:"error,omitempty"`
	// Refused is how often the file was refused since Start.
	Refused uint64 `json:"refused,omitempty"`
}

// PolicyText is the text of the policy in force, which is that of its file, as it was
// read, unless it is being tried. Without a policy it is the zero value.
type PolicyText struct {
	// File is the file's name, an absolute one where that can be told.
	File string `json:"file"`
	// Host is what Config.PolicyHost was, or empty.
	Host string `json:"host,omitempty"`
	// Hash is the SHA-256 of Text, in hexadecimal.
	Hash string `json:"hash"`
	Text string `json:"text"`
	// Until is when what was in force before comes back, if Text is not the file's but
	// being tried, or the zero value.
	Until time.Time `json:"until,omitzero"`
}

// PolicyText returns the text of the policy in force.
func (t *Tunnel) PolicyText() PolicyText {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	p := t.policyText
	if whole, err := filepath.Abs(p.File); err == nil && p.File != "" {
		p.File = whole
	}
	return p
}

// ReloadPolicy reads the policy file again and puts it in force: flows that it
// does not allow any more end. A file that cannot be read, is wrong, or whose
// own tests do not hold is refused with an error that says why, and what was in
// force stays.
func (t *Tunnel) ReloadPolicy() error {
	if err := t.readPolicy(false); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	return nil
}

// readPolicy reads the policy file again and puts it in force. If onlyChanged, it
// does nothing where the file is what it was at the last attempt.
func (t *Tunnel) readPolicy(onlyChanged bool) error {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	if t.policyFile.name == "" {
		return errors.New("there is no policy file")
	}
	read, err := t.policyFile.read()
	if t.confirmedLocked(read) || onlyChanged && (read.attempt == t.policyAttempt || t.trial != nil && read.attempt == t.trial.before.attempt) {
		return nil
	}
	if err == nil {
		err = t.setPolicyLocked(read, t.now().Addresses, PolicyChange{Kind: PolicyChangeLoaded})
	}
	if err != nil {
		t.noteRefusalLocked(read, err)
		t.policyAttempt = read.attempt
		t.policyStatus.Error = err.Error()
		t.policyStatus.Refused++
		t.logf("policy refused: %v", err)
		t.emit(Event{Kind: PolicyRefused, Time: time.Now(), Text: err.Error()})
	}
	return err
}

// setPolicyLocked puts a policy in force, for a tunnel with these addresses, and notes it
// in the history as what change says.
func (t *Tunnel) setPolicyLocked(l loadedPolicy, addresses []netip.Prefix, change PolicyChange) error {
	f, err := t.newFilter(l.policy)
	if err != nil {
		return err
	}
	t.endTrialLocked()
	t.wrapper.SetFilter(f)
	t.policyFile, t.policy, t.policyAttempt, t.policyStatus = l.policyFile, l.policy, l.attempt, PolicyStatus{Refused: t.policyStatus.Refused}
	t.policyText = PolicyText{File: l.name, Host: l.host, Hash: l.hash, Text: string(l.data)}
	t.noteInForceLocked(change, l, f)
	if l.policy == nil {
		t.hosts.Store(nil)
		t.logf("no policy: all that the allowed IPs admit is accepted")
		return nil
	}
	hosts, c := l.policy.Hosts(), l.policy.Config()
	t.hosts.Store(&hosts)
	t.policyStatus = PolicyStatus{File: l.name, Hash: l.hash, Loaded: time.Now(), Rules: len(c.Matches), Refused: t.policyStatus.Refused}
	t.logf("policy %s is in force: %s", l.name, count(len(c.Matches), "rule"))
	t.emit(Event{Kind: PolicyLoaded, Time: t.policyStatus.Loaded, Text: l.name})
	t.warnNotLocal(addresses, c.Local)
	return nil
}

// newFilter returns the filter of a policy, with the state of the one that there
// is, or without a policy one that allows all.
func (t *Tunnel) newFilter(p *policy.Policy) (*filter.Filter, error) {
	if p == nil {
		return filter.NewAllowAll(nil), nil
	}
	c := p.Config()
	if old := t.wrapper.GetFilter(); old != nil {
		c.State = old.State()
	}
	return filter.New(c)
}

// policyFile is the name of a file, or empty, and for whom it is read.
type policyFile struct{ name, host string }

func (c *Config) policyFile() policyFile { return policyFile{c.Policy, c.PolicyHost} }

// loadedPolicy is what was read of a file.
type loadedPolicy struct {
	policyFile
	policy  *policy.Policy // nil without a file
	data    []byte
	hash    string
	attempt string // tells what was read from what is read next
}

// read reads the file and runs its tests. On an error only the attempt counts.
func (f policyFile) read() (loadedPolicy, error) {
	if f.name == "" {
		return loadedPolicy{policyFile: f}, nil
	}
	data, err := os.ReadFile(f.name)
	return f.load(data, err)
}

// load is read of data that was read with err.
func (f policyFile) load(data []byte, err error) (loadedPolicy, error) {
	l := loadedPolicy{policyFile: f, data: data, hash: fmt.Sprintf("%x", sha256.Sum256(data))}
	l.attempt = fmt.Sprint(l.hash, " ", err)
	if err == nil {
		l.policy, err = f.parse(data)
	}
	if err == nil {
		err = testPolicy(l.policy)
	}
	return l, err
}

// parse reads a file for a host, or for all that it calls local.
func (f policyFile) parse(data []byte) (*policy.Policy, error) {
	if f.host == "" {
		return policy.Parse(f.name, data)
	}
	return policy.ParseFor(f.name, data, f.host)
}

// testPolicy runs the tests that the file has.
func testPolicy(p *policy.Policy) error {
	failures, err := p.Test()
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range failures {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

// warnNotLocal logs which addresses of the tunnel nobody can reach.
func (t *Tunnel) warnNotLocal(addresses, local []netip.Prefix) {
	for _, a := range addresses {
		if !slices.ContainsFunc(local, func(l netip.Prefix) bool { return l.Contains(a.Addr()) }) {
			t.logf("warning: the policy does not call %v local, so nobody reaches it", a.Addr())
		}
	}
}

// ExplainNew says what the rules say of a new flow in direction d, and why, whatever flows
// are open. The index of a rule is that of the policy, if there is one.
func (t *Tunnel) ExplainNew(d filter.Direction, f policy.Flow) filter.Explanation {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	if t.policy != nil {
		return t.policy.Explain(t.wrapper.GetFilter(), d, f)
	}
	return t.wrapper.GetFilter().ExplainNew(d, netip.AddrPortFrom(f.Src, 0), f.Dst, f.Proto)
}
