package tunnel_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tstun/key"
	"tstun/tunnel"
)

// kinds returns the kinds of changes, without those that are the same as before: the watch
// may have refused a file as well.
func kinds(h tunnel.PolicyHistory) string {
	var words []string
	for _, c := range h.Changes {
		if word := string(c.Kind); len(words) == 0 || words[len(words)-1] != word {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// The history tells of policies that were loaded, tried, rolled back, confirmed and
// refused, each with what it is and why.
func TestPolicyHistory(t *testing.T) {
	tun, path := trialOf(t, time.Hour)
	if err := tun.RollBackPolicy(); err != nil {
		t.Fatal(err)
	}
	if err := tun.TryPolicy([]byte(allow(80)), time.Hour); err != nil {
		t.Fatal(err)
	}
	replace(t, path, allow(80))
	_ = tun.ConfirmPolicy() // the watch may be faster
	eventually(t, tun, "the end of the trial", func(s tunnel.PolicyStatus) bool { return s.TrialUntil.IsZero() })
	if err := tun.TryPolicy([]byte("{"), time.Hour); err == nil {
		t.Fatal("a bad policy was tried")
	}
	h := tun.PolicyHistory()
	if got, want := kinds(h), "loaded tried rolled-back tried confirmed refused"; got != want || h.Lost != 0 {
		t.Fatalf("%s, %d lost; want %s", got, h.Lost, want)
	}
	first, tried, back, confirmed, refused := h.Changes[0], h.Changes[1], h.Changes[2], h.Changes[4], h.Changes[5]
	if first.File != path || first.Rules != 1 || len(first.Hash) != 64 || first.Serial == 0 || first.Time.IsZero() || first.Text != "" {
		t.Errorf("loaded: %+v", first)
	}
	if tried.Hash == first.Hash || tried.Serial <= first.Serial || tried.Until.Before(tried.Time) {
		t.Errorf("tried: %+v", tried)
	}
	if back.Hash != first.Hash || back.Serial <= tried.Serial || back.Text == "" || !back.Until.IsZero() {
		t.Errorf("rolled back: %+v", back)
	}
	if confirmed.Hash != tried.Hash || confirmed.Serial != h.Changes[3].Serial {
		t.Errorf("confirmed: %+v", confirmed)
	}
	if !strings.Contains(refused.Text, path+":1:2") || refused.Serial != 0 {
		t.Errorf("refused: %+v", refused)
	}
}

// Of more changes than are kept the latest are there, and of a long refusal the beginning.
func TestPolicyHistoryIsBounded(t *testing.T) {
	tun, path := trialOf(t, time.Hour)
	long := strings.Replace(allow(22), `"tests": []`, `"tests": [`+strings.Repeat(`{"src": "10.9.0.2", "accept": "10.9.0.1:99"},`, 200)+`]`, 1)
	replace(t, path, long)
	for range 70 {
		if err := tun.ReloadPolicy(); err == nil {
			t.Fatal("a policy whose tests do not hold was taken")
		}
	}
	h := tun.PolicyHistory()
	if len(h.Changes) != 64 || h.Lost < 8 {
		t.Errorf("%d changes and %d lost", len(h.Changes), h.Lost)
	}
	for _, c := range h.Changes {
		if c.Kind != tunnel.PolicyChangeRefused || len(c.Text) < 4000 || len(c.Text) > 4200 {
			t.Fatalf("%s of %d bytes", c.Kind, len(c.Text))
		}
	}
	none := start(t, userspace(key.NewPrivate(), key.NewPrivate()))
	if h := none.PolicyHistory(); fmt.Sprint(h) != "{[] 0}" {
		t.Errorf("without a policy: %+v", h)
	}
}
