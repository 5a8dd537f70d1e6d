package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tstun/filter"
	"tstun/policy"
)

// audit is the second policy, which drops nothing. The zero value is none.
type audit struct {
	mu      sync.Mutex // guards what is below, and held while such a policy is set
	loaded  loadedPolicy
	filter  *filter.Filter // nil: there is none
	status  PolicyStatus
	attempt string // what the file was when it was last read
}

// auditFile returns the file of the second policy.
func (c *Config) auditFile() policyFile { return policyFile{c.Audit, c.PolicyHost} }

// firstAudit sets the second policy that the tunnel starts with.
func (t *Tunnel) firstAudit() error {
	l, err := t.now().auditFile().read()
	if err != nil {
		return err
	}
	return t.setAudit(l)
}

// setAudit makes a policy the second one, or without a file has none.
func (t *Tunnel) setAudit(l loadedPolicy) error {
	t.audit.mu.Lock()
	defer t.audit.mu.Unlock()
	return t.setAuditLocked(l)
}

func (t *Tunnel) setAuditLocked(l loadedPolicy) error {
	a := &t.audit
	var f *filter.Filter
	if l.policy != nil {
		var err error
		if f, err = filter.New(l.policy.Config()); err != nil {
			return err
		}
	}
	if f == nil && a.filter == nil {
		return nil
	}
	t.wrapper.SetAudit(f)
	a.loaded, a.filter, a.attempt, a.status = l, f, l.attempt, PolicyStatus{Refused: a.status.Refused}
	if f == nil {
		t.logf("no policy is tried any more")
		return nil
	}
	rules := len(l.policy.Config().Matches)
	a.status = PolicyStatus{File: l.name, Hash: l.hash, Loaded: time.Now(), Rules: rules, Refused: a.status.Refused}
	t.logf("policy %s is tried, and drops nothing: %s", l.name, count(rules, "rule"))
	t.emit(Event{Kind: AuditLoaded, Time: a.status.Loaded, Text: l.name})
	return nil
}

// ReloadAudit reads the file of the second policy again, as ReloadPolicy does with the
// one in force.
func (t *Tunnel) ReloadAudit() error {
	if err := t.readAudit(false); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	return nil
}

// readAudit reads the file of the second policy again, and uses it. If onlyChanged, it
// does nothing where the file is what it was at the last attempt.
func (t *Tunnel) readAudit(onlyChanged bool) error {
	a := &t.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded.name == "" {
		return errors.New("there is no policy that is tried")
	}
	read, err := a.loaded.policyFile.read()
	if onlyChanged && read.attempt == a.attempt {
		return nil
	}
	if err == nil {
		err = t.setAuditLocked(read)
	}
	if err != nil {
		a.attempt, a.status.Error = read.attempt, err.Error()
		a.status.Refused++
		t.logf("policy that is tried refused: %v", err)
		t.emit(Event{Kind: AuditRefused, Time: time.Now(), Text: err.Error()})
	}
	return err
}

// tried returns the second policy and its filter, or nil.
func (t *Tunnel) tried() (*policy.Policy, *filter.Filter) {
	t.audit.mu.Lock()
	defer t.audit.mu.Unlock()
	return t.audit.loaded.policy, t.audit.filter
}

// auditStatus returns which the second policy is.
func (t *Tunnel) auditStatus() PolicyStatus {
	t.audit.mu.Lock()
	defer t.audit.mu.Unlock()
	return t.audit.status
}

// watchAudit watches the file of the second policy, if there is one.
func (t *Tunnel) watchAudit(context.Context) error {
	t.atClose("end the watch of the policy that is tried", func() error {
		t.changing.Lock()
		defer t.changing.Unlock()
		return t.auditWatch.end()
	})
	w, err := newPolicyWatch(t.now().Audit)
	if err != nil {
		return err
	}
	t.auditWatch = w
	w.start(t, t.readAudit)
	return nil
}

// newAudit reads the second policy of c, if it is another one.
func (t *Tunnel) newAudit(c *Config) (loadedPolicy, error) {
	if f := c.auditFile(); f != t.given.auditFile() {
		return f.read()
	}
	return loadedPolicy{policyFile: c.auditFile()}, nil
}

// auditSteps set another second policy.
func (t *Tunnel) auditSteps(l loadedPolicy) []step {
	if l.policyFile == t.given.auditFile() {
		return nil
	}
	t.audit.mu.Lock()
	old := t.audit.loaded
	t.audit.mu.Unlock()
	return []step{{"the policy that is tried", func() error { return t.replaceAudit(l) }, func() error { return t.replaceAudit(old) }}}
}

// replaceAudit makes the policy of another file the second one, and watches that.
func (t *Tunnel) replaceAudit(l loadedPolicy) error {
	w, err := newPolicyWatch(l.name)
	if err != nil {
		return err
	}
	if err := t.setAudit(l); err != nil {
		return errors.Join(err, w.end())
	}
	if err := t.auditWatch.end(); err != nil {
		t.logf("end the watch of the old policy that was tried: %v", err)
	}
	t.auditWatch = w
	w.start(t, t.readAudit)
	return nil
}
