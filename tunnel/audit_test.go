package tunnel_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/filter"
	"tstun/tunnel"
)

// audited asks until a tunnel's second policy would drop and let pass as many flows as
// are wanted: packets are on their way.
func audited(t *testing.T, tun *tunnel.Tunnel, drop, pass int) (a *tunnel.Audit) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var err error
		if a, err = tun.Audit(time.Time{}, 0); err != nil {
			t.Fatal(err)
		}
		if a.WouldDrop.Flows == drop && a.WouldPass.Flows == pass && len(a.Flows) == drop+pass {
			return a
		}
	}
	t.Fatalf("would drop %d, pass %d: %+v", drop, pass, a)
	return nil
}

// A second policy drops nothing, and what it would do otherwise is told, as its file is
// now.
func TestAudit(t *testing.T) {
	a, b := linked(t)
	dir := t.TempDir()
	a.Policy, a.Audit = filepath.Join(dir, "policy.json"), filepath.Join(dir, "tried.json")
	replace(t, a.Policy, allow(22))
	replace(t, a.Audit, allow(80))
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	l, err := ta.Listen(within(t), "tcp", "10.9.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	passes, err := tb.DialContext(within(t), "tcp", "10.9.0.1:22") // which the second refuses
	if err != nil {
		t.Fatal(err)
	}
	defer passes.Close()
	refused, err := tb.DialContext(briefly(t), "tcp", "10.9.0.1:80") // which the second lets in
	if err == nil {
		refused.Close()
		t.Fatal("port 80 is open")
	}
	got := audited(t, ta, 1, 1)
	if got.InForce.File != a.Policy || got.Tried.File != a.Audit || got.WouldDrop.Packets == 0 || got.WouldPass.Packets == 0 {
		t.Errorf("%+v", got)
	}
	for _, f := range got.Flows {
		switch f.Dst.Port {
		case 22:
			if f.IsRefused() || f.Rule == nil || f.Rule.File != a.Policy || f.Tried.Reason != filter.ReasonNoRule || !strings.Contains(f.Tried.Nearest, a.Audit+":1:47") {
				t.Errorf("%+v", f)
			}
		case 80:
			if !f.IsRefused() || f.Tried.Response != filter.Accept || f.Tried.Rule == nil || f.Tried.Rule.File != a.Audit {
				t.Errorf("%+v", f)
			}
		default:
			t.Errorf("%+v", f)
		}
	}
	if e := explain(briefly(t), t, ta, "other", "10.9.0.1:22", ""); e.Checks[2].Step != tunnel.StepAudit || !strings.Contains(e.Checks[2].Text, "would refuse it") || first(t, e) != "" {
		t.Errorf("%v", e)
	}

	// The file is watched. One that is wrong leaves what is tried.
	replace(t, a.Audit, allow(22))
	audited(t, ta, 0, 0)
	replace(t, a.Audit, "{")
	for end := time.Now().Add(patience); ta.Status().Audit.Error == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a wrong file is not told of")
		}
	}
	if err := ta.ReloadAudit(); err == nil || ta.Status().Audit.Rules != 1 || ta.Status().Policy.Error != "" {
		t.Errorf("%v: %+v", err, ta.Status().Audit)
	}
	audited(t, ta, 0, 0)

	// A reload tries another one, and none.
	other := filepath.Join(dir, "other.json")
	replace(t, other, allow(1))
	next := a
	next.Audit = other
	reload(t, ta, next)
	if got := audited(t, ta, 1, 0); got.Tried.File != other {
		t.Errorf("%+v", got.Tried)
	}
	next.Audit = ""
	reload(t, ta, next)
	if _, err := ta.Audit(time.Time{}, 0); !errors.Is(err, tunnel.ErrNoAudit) || ta.Status().Audit.File != "" {
		t.Errorf("without: %v, %+v", err, ta.Status().Audit)
	}
	if err := ta.ReloadAudit(); err == nil {
		t.Error("a reload of none")
	}
	if accepts(ta, 80) || !accepts(ta, 22) {
		t.Error("what is in force changed")
	}
}

// What is tried can be wrong at the start, and needs records.
func TestAuditConfig(t *testing.T) {
	a, _ := linked(t)
	a.Audit = filepath.Join(t.TempDir(), "tried.json")
	if _, err := tunnel.Start(within(t), a); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	replace(t, a.Audit, allow(22))
	a.RecordMemory = -1
	if _, err := tunnel.Start(within(t), a); err == nil || !strings.Contains(err.Error(), "without records") {
		t.Errorf("without records: %v", err)
	}
}
