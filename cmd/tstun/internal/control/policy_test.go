package control_test

import (
	"strings"
	"testing"
	"time"

	"tstun/tunnel"
)

// A policy is tried by the API, and confirmed or rolled back.
func TestPolicyTrial(t *testing.T) {
	tun, file := startExplained(t)
	s, c := serve(t, tun)
	ctx := within(t)
	next := strings.Replace(explainedPolicy, "*:80", "*:81", 1)
	if p, err := c.Policy(ctx); err != nil || p.Text != explainedPolicy || p.File != file || !p.Until.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.ConfirmPolicy(ctx); err == nil || !strings.Contains(err.Error(), "no policy is being tried") {
		t.Errorf("nothing is tried: %v", err)
	}
	if _, err := c.TryPolicy(ctx, []byte("{"), time.Minute); err == nil || !strings.Contains(err.Error(), file+":1:2") {
		t.Errorf("a bad policy: %v", err)
	}
	if p, err := c.TryPolicy(ctx, []byte(next), time.Hour); err != nil || p.Text != next || p.Until.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := c.RollBackPolicy(ctx); err != nil || p.Text != explainedPolicy || !p.Until.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if h, err := c.PolicyHistory(ctx); err != nil || len(h.Changes) != 4 || h.Changes[1].Kind != tunnel.PolicyChangeRefused || h.Changes[3].Kind != tunnel.PolicyChangeRolledBack {
		t.Errorf("history %+v, %v", h, err)
	}
	if code, text := ask(t, s, "POST", "/v1/policy/try?within=soon", nil); code != 400 {
		t.Errorf("%d %s", code, text)
	}
	if code, text := ask(t, s, "GET", "/v1/policy/try", nil); code != 405 {
		t.Errorf("%d %s", code, text)
	}
}
