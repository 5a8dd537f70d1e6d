package tunnel

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// policyTrial is a policy in force that is not the file's, and what is put in its place
// unless the file gets its content in time.
type policyTrial struct {
	before loadedPolicy
	until  time.Time
	timer  *time.Timer
}

// Bounds of how long a policy may be tried.
const (
	minTrial = time.Second
	maxTrial = 24 * time.Hour
)

// ErrNoTrial is that no policy is being tried.
var ErrNoTrial = errors.New("no policy is being tried")

// TryPolicy puts a text in force in the place of the policy file's, for so long. Then
// what was in force comes back, unless ConfirmPolicy found the text in the file, or the
// watch did. A file that gets another content, ReloadPolicy, and a Reload with another
// policy file end the trial too, by what is in the file. So does the end of the tunnel:
// the next Start reads the file. A text that is wrong, or whose own tests do not hold, is
// refused, and nothing changes; so is one while another is tried.
func (t *Tunnel) TryPolicy(text []byte, within time.Duration) error {
	if err := t.tryPolicy(text, within); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	return nil
}

func (t *Tunnel) tryPolicy(text []byte, within time.Duration) error {
	if within < minTrial || within > maxTrial {
		return fmt.Errorf("try a policy for %v: want %v to %v", within, minTrial, maxTrial)
	}
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	switch {
	case t.policyFile.name == "":
		return errors.New("there is no policy file")
	case t.trial != nil:
		return fmt.Errorf("another policy is being tried until %s", t.trial.until.Format(time.TimeOnly))
	case t.trialsEnded:
		return os.ErrClosed
	}
	l, err := t.policyFile.load(text, nil)
	if err != nil {
		t.noteRefusalLocked(l, err)
		return err
	}
	if l.hash == t.policyText.Hash {
		return errors.New("this policy is in force already")
	}
	before := loadedPolicy{t.policyFile, t.policy, []byte(t.policyText.Text), t.policyText.Hash, t.policyAttempt}
	trial := &policyTrial{before: before, until: time.Now().Add(within)}
	if err := t.setPolicyLocked(l, t.now().Addresses, PolicyChange{Kind: PolicyChangeTried, Until: trial.until}); err != nil {
		return err
	}
	trial.timer = time.AfterFunc(within, func() {
		t.policyMu.Lock()
		defer t.policyMu.Unlock()
		if t.trial == trial {
			_ = t.rollBackLocked("nobody confirmed it in time") // which logs
		}
	})
	t.trial = trial
	t.policyText.Until, t.policyStatus.TrialUntil = trial.until, trial.until
	t.logf("this policy is tried until %s: the file has to have its content by then", trial.until.Format(time.TimeOnly))
	return nil
}

// ConfirmPolicy ends the trial of a policy, which stays in force. The policy file must
// have its content by now: the tunnel does not write it. Else the error says so and the
// trial goes on. It is an ErrNoTrial if there is none.
func (t *Tunnel) ConfirmPolicy() error {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	if t.trial == nil {
		return fmt.Errorf("tunnel: %w", ErrNoTrial)
	}
	if read, err := t.policyFile.read(); err != nil || !t.confirmedLocked(read) {
		return fmt.Errorf("tunnel: %s does not have the content of the policy that is tried", t.policyFile.name)
	}
	return nil
}

// RollBackPolicy ends the trial of a policy now: what was in force before is in force
// again. It is an ErrNoTrial if there is none.
func (t *Tunnel) RollBackPolicy() error {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	if t.trial == nil {
		return fmt.Errorf("tunnel: %w", ErrNoTrial)
	}
	if err := t.rollBackLocked("it was asked for"); err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	return nil
}

// rollBackLocked puts in force what was before the trial.
func (t *Tunnel) rollBackLocked(why string) error {
	before := t.trial.before
	if err := t.setPolicyLocked(before, t.now().Addresses, PolicyChange{Kind: PolicyChangeRolledBack, Text: why}); err != nil {
		t.logf("roll the policy back: %v", err)
		return err
	}
	t.logf("the policy before is in force again: %s", why)
	t.emit(Event{Kind: PolicyRolledBack, Time: time.Now(), Text: why})
	return nil
}

// confirmedLocked ends the trial if the file, as it was read, has the content that is
// tried, and reports whether it has.
func (t *Tunnel) confirmedLocked(read loadedPolicy) bool {
	if t.trial == nil || read.policy == nil || read.hash != t.policyText.Hash {
		return false
	}
	t.endTrialLocked()
	t.policyAttempt, t.policyStatus.Error = read.attempt, ""
	t.noteInForceLocked(PolicyChange{Kind: PolicyChangeConfirmed}, read, t.wrapper.GetFilter())
	t.logf("policy %s is confirmed", read.name)
	t.emit(Event{Kind: PolicyConfirmed, Time: time.Now(), Text: read.name})
	return true
}

// endTrialLocked ends the trial, if there is one, whatever is in force.
func (t *Tunnel) endTrialLocked() {
	if t.trial == nil {
		return
	}
	t.trial.timer.Stop()
	t.trial = nil
	t.policyText.Until, t.policyStatus.TrialUntil = time.Time{}, time.Time{}
}

// endTrials ends the trial at the end of the tunnel. None begins after it.
func (t *Tunnel) endTrials() error {
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	t.trialsEnded = true
	t.endTrialLocked()
	return nil
}
