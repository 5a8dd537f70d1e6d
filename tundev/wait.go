package tundev

import (
	"errors"
	"fmt"
	"time"

	"tstun/logger"
)

// clock reads the time and sleeps. Tests replace both.
type clock struct {
	now   func() time.Time
	sleep func(time.Duration)
}

// errNotUp marks an interface that did not come up in time.
var errNotUp = errors.New("interface did not come up")

// retry calls f until it succeeds, until again says that the error will not
// pass, or until limit has gone by since the first call. It waits for pause
// after the first failure, twice as long after each further one, but at most
// for maxPause.
type retry struct {
	clock    clock
	limit    time.Duration
	pause    time.Duration
	maxPause time.Duration
}

func (r retry) do(logf logger.Logf, again func(error) bool, f func() error) error {
	start, pause := r.clock.now(), r.pause
	for {
		err := f()
		if err == nil || !again(err) {
			return err
		}
		spent := r.clock.now().Sub(start)
		if spent+pause > r.limit {
			return fmt.Errorf("given up after %v: %w", spent.Round(time.Millisecond), err)
		}
		logf("tundev: %v: trying again in %v", err, pause)
		r.clock.sleep(pause)
		pause = min(2*pause, r.maxPause)
	}
}

// waitUp polls state until it reports up or limit has gone by, and logs the
// progress. The log and the error have the condition that state returned.
type waitUp struct {
	clock    clock
	limit    time.Duration
	every    time.Duration // between two polls
	logEvery time.Duration // between two lines of progress
}

func (w waitUp) do(logf logger.Logf, state func() (up bool, condition string, err error)) error {
	start := w.clock.now()
	logged := start
	for {
		up, condition, err := state()
		if up {
			return nil
		}
		if err != nil {
			condition = err.Error()
		}
		now := w.clock.now()
		if now.Sub(start) >= w.limit {
			return w.failure(condition, err)
		}
		if now.Sub(logged) >= w.logEvery {
			logged = now
			logf("tundev: waiting for the interface since %v: %s", now.Sub(start).Round(time.Second), condition)
		}
		w.clock.sleep(w.every)
	}
}

func (w waitUp) failure(condition string, err error) error {
	if err != nil {
		return fmt.Errorf("%w within %v: %w", errNotUp, w.limit, err)
	}
	return fmt.Errorf("%w within %v: %s", errNotUp, w.limit, condition)
}
