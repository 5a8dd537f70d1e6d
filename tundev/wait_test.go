package tundev_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/logger"
	"tstun/tundev"
)

// fakeClock passes only by sleeping.
type fakeClock struct {
	t     time.Time
	slept []time.Duration
}

func (c *fakeClock) now() time.Time { return c.t }

func (c *fakeClock) sleep(d time.Duration) {
	c.t = c.t.Add(d)
	c.slept = append(c.slept, d)
}

func TestRetry(t *testing.T) {
	busy, final := errors.New("busy"), errors.New("final")
	again := func(err error) bool { return err == busy }
	tests := []struct {
		name  string
		errs  []error // of the calls, the last one repeated
		want  error
		calls int
		slept []time.Duration
	}{
		{"at once", []error{nil}, nil, 1, nil},
		{"final", []error{final}, final, 1, nil},
		{"passes", []error{busy, busy, busy, nil}, nil, 4, []time.Duration{1, 2, 3}},
		{"turns final", []error{busy, final}, final, 2, []time.Duration{1}},
		{"never passes", []error{busy}, busy, 5, []time.Duration{1, 2, 3, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, calls := &fakeClock{}, 0
			err := tundev.Retry(c.now, c.sleep, 10, 1, 3, again, func() error {
				calls++
				return tt.errs[min(calls, len(tt.errs))-1]
			})
			if !errors.Is(err, tt.want) || calls != tt.calls || !slices.Equal(c.slept, tt.slept) {
				t.Errorf("%v after %d calls and %v, want %v, %d, %v", err, calls, c.slept, tt.want, tt.calls, tt.slept)
			}
		})
	}
}

func TestWaitUp(t *testing.T) {
	probe := errors.New("no such interface")
	run := func(logf logger.Logf, upAfter int, err error) (*fakeClock, error) {
		c, polls := &fakeClock{}, 0
		return c, tundev.WaitUp(logf, c.now, c.sleep, 90*time.Second, time.Second, 5*time.Second, func() (bool, string, error) {
			polls++
			return polls > upAfter && err == nil, "dormant", err
		})
	}
	t.Run("at once", func(t *testing.T) {
		if c, err := run(logger.Discard, 0, nil); err != nil || len(c.slept) != 0 {
			t.Errorf("%v after %v", err, c.slept)
		}
	})
	t.Run("late, with progress", func(t *testing.T) {
		var lines []string
		logf := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
		if _, err := run(logf, 12, nil); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"tundev: waiting for the interface since 5s: dormant",
			"tundev: waiting for the interface since 10s: dormant",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("log %q", lines)
		}
	})
	t.Run("never", func(t *testing.T) {
		c, err := run(logger.Discard, 1000, nil)
		if !errors.Is(err, tundev.ErrNotUp) || !strings.Contains(err.Error(), "within 1m30s: dormant") || len(c.slept) != 90 {
			t.Errorf("%v after %d polls", err, len(c.slept))
		}
	})
	t.Run("error", func(t *testing.T) {
		if _, err := run(logger.Discard, 0, probe); !errors.Is(err, probe) || !errors.Is(err, tundev.ErrNotUp) {
			t.Error(err)
		}
	})
}
