package tunnel_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/key"
	"tstun/tunnel"
)

// trialOf starts a tunnel whose file lets port 22 in, and tries port 80.
func trialOf(t *testing.T, within time.Duration) (tun *tunnel.Tunnel, path string) {
	path = filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, allow(22))
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Policy = path
	tun = start(t, c)
	if err := tun.TryPolicy([]byte(allow(80)), within); err != nil {
		t.Fatal(err)
	}
	if accepts(tun, 22) || !accepts(tun, 80) || tun.PolicyText().Until.IsZero() || tun.PolicyText().Text != allow(80) || tun.Status().Policy.TrialUntil.IsZero() {
		t.Errorf("what is tried is not in force: %+v", tun.PolicyText())
	}
	return tun, path
}

// hasEnded wants no trial, and port to be let in.
func hasEnded(t *testing.T, tun *tunnel.Tunnel, port uint16) {
	t.Helper()
	if s := tun.PolicyText(); !s.Until.IsZero() || !accepts(tun, port) || accepts(tun, 102-port) {
		t.Errorf("in the end: %+v", s)
	}
	if err := tun.RollBackPolicy(); !errors.Is(err, tunnel.ErrNoTrial) {
		t.Errorf("RollBackPolicy: %v", err)
	}
	if err := tun.ConfirmPolicy(); !errors.Is(err, tunnel.ErrNoTrial) {
		t.Errorf("ConfirmPolicy: %v", err)
	}
}

// wantEvent waits for an event of a kind.
func wantEvent(t *testing.T, tun *tunnel.Tunnel, last tunnel.EventKind) {
	t.Helper()
	for e := range tun.Events(within(t)) {
		if e.Kind == last {
			return
		}
	}
	t.Errorf("no event %s", last)
}

// A trial that nobody confirms is rolled back when its time is over.
func TestTrialEnds(t *testing.T) {
	tun, _ := trialOf(t, time.Second)
	eventually(t, tun, "the end of the trial", func(s tunnel.PolicyStatus) bool { return s.TrialUntil.IsZero() })
	hasEnded(t, tun, 22)
	wantEvent(t, tun, tunnel.PolicyRolledBack)
}

// ConfirmPolicy wants the file to have the text. The watch confirms it as well.
func TestTrialIsConfirmed(t *testing.T) {
	tun, path := trialOf(t, time.Hour)
	if err := tun.ConfirmPolicy(); err == nil || !strings.Contains(err.Error(), "does not have the content") {
		t.Errorf("without the file: %v", err)
	}
	if err := tun.TryPolicy([]byte(allow(23)), time.Hour); err == nil || !strings.Contains(err.Error(), "another policy is being tried until ") {
		t.Errorf("two at once: %v", err)
	}
	replace(t, path, allow(80))
	if err := tun.ConfirmPolicy(); err != nil && !errors.Is(err, tunnel.ErrNoTrial) { // the watch was faster
		t.Error(err)
	}
	hasEnded(t, tun, 80)
	wantEvent(t, tun, tunnel.PolicyConfirmed)
	if err := tun.ReloadPolicy(); err != nil {
		t.Error(err)
	}
	hasEnded(t, tun, 80)
	if err := tun.TryPolicy([]byte(allow(80)), time.Hour); err == nil || !strings.Contains(err.Error(), "in force already") {
		t.Errorf("what is in force: %v", err)
	}
}

// What ends a trial otherwise: the file, a reload, the end of the tunnel.
func TestTrialIsOverridden(t *testing.T) {
	tun, path := trialOf(t, time.Hour)
	replace(t, path, allow(23))
	eventually(t, tun, "the other content", func(s tunnel.PolicyStatus) bool { return s.TrialUntil.IsZero() && s.Error == "" })
	if !accepts(tun, 23) {
		t.Error("the file is not in force")
	}
	tun, _ = trialOf(t, time.Hour)
	if err := tun.ReloadPolicy(); err != nil {
		t.Error(err)
	}
	hasEnded(t, tun, 22)
	tun, _ = trialOf(t, time.Hour)
	if err := tun.RollBackPolicy(); err != nil {
		t.Error(err)
	}
	hasEnded(t, tun, 22)
	for _, err := range []error{
		tun.TryPolicy([]byte("{"), time.Hour), tun.TryPolicy([]byte(allow(80)), time.Millisecond), tun.TryPolicy([]byte(allow(80)), 48*time.Hour),
		tun.TryPolicy([]byte(strings.Replace(allow(80), `"tests": []`, `"tests": [{"src": "10.9.0.2", "deny": "10.9.0.1:80"}]`, 1)), time.Hour),
	} {
		if err == nil {
			t.Error("a bad policy, or time, was taken")
		}
	}
	hasEnded(t, tun, 22)
	if err := tun.TryPolicy([]byte(allow(80)), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	if err := tun.TryPolicy([]byte(allow(80)), time.Hour); err == nil {
		t.Error("a tunnel that has ended tries a policy")
	}
}

// A bad file ends no trial, however often it is read.
func TestBadFileConfirmsNothing(t *testing.T) {
	tun, path := trialOf(t, time.Hour)
	replace(t, path, "{")
	for range 3 {
		if err := tun.ReloadPolicy(); err == nil {
			t.Error("a bad file was taken")
		}
	}
	if tun.PolicyText().Until.IsZero() || !accepts(tun, 80) {
		t.Errorf("the trial ended: %+v", tun.PolicyText())
	}
}
