package tunnel

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the directory must be quiet before the policy file is
// read: a program that writes it does so in several steps.
const settle = 50 * time.Millisecond

// watchPolicy watches the policy file, if there is one.
func (t *Tunnel) watchPolicy(context.Context) error {
	t.atClose("end the watch of the policy file", func() error {
		t.changing.Lock()
		defer t.changing.Unlock()
		return t.watch.end()
	})
	t.atClose("end the trial of a policy", t.endTrials)
	w, err := newPolicyWatch(t.now().Policy)
	if err != nil {
		return err
	}
	t.watch = w
	w.start(t, t.readPolicy)
	return nil
}

// policySteps put a policy in force, as the last of the steps.
func (t *Tunnel) policySteps(l loadedPolicy, next *live) []step {
	if l.policyFile == t.given.policyFile() {
		return nil
	}
	return []step{{what: "the policy", do: func() error { return t.replacePolicy(l, next) }}}
}

// replacePolicy puts the policy of another file in force, and watches that.
func (t *Tunnel) replacePolicy(l loadedPolicy, next *live) error {
	w, err := newPolicyWatch(l.name)
	if err != nil {
		return err
	}
	t.policyMu.Lock()
	err = t.setPolicyLocked(l, next.Addresses, PolicyChange{Kind: PolicyChangeLoaded})
	t.policyMu.Unlock()
	if err != nil {
		return errors.Join(err, w.end())
	}
	if err := t.watch.end(); err != nil {
		t.logf("end the watch of the old policy file: %v", err)
	}
	t.watch = w
	w.start(t, t.readPolicy)
	return nil
}

// policyWatch watches the directory of the policy file, since programs put a
// new file in the place of the old one. Nil watches nothing.
type policyWatch struct {
	watcher *fsnotify.Watcher
	running sync.WaitGroup
}

// newPolicyWatch returns what watches a file, or nil without a name.
func newPolicyWatch(name string) (*policyWatch, error) {
	if name == "" {
		return nil, nil
	}
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(filepath.Dir(name))
		if err != nil {
			_ = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("watch the directory of %s: %w", name, err)
	}
	return &policyWatch{watcher: w}, nil
}

// start calls read after each change in the directory, until the watch ends.
func (w *policyWatch) start(t *Tunnel, read func(onlyChanged bool) error) {
	if w != nil {
		w.running.Go(func() { t.followPolicy(w.watcher, read) })
	}
}

func (w *policyWatch) end() error {
	if w == nil {
		return nil
	}
	err := w.watcher.Close()
	w.running.Wait()
	return err
}

// followPolicy calls read after each change in its directory, until the
// watcher is closed. What has the content of the last attempt is left alone.
func (t *Tunnel) followPolicy(w *fsnotify.Watcher, read func(onlyChanged bool) error) {
	quiet := time.NewTimer(settle) // for what changed before the watch began
	defer quiet.Stop()
	for {
		select {
		case _, ok := <-w.Events:
			if !ok {
				return
			}
			quiet.Reset(settle)
		case err, ok := <-w.Errors: // such as a queue that ran over
			if !ok {
				return
			}
			t.logf("watch the policy file: %v", err)
			quiet.Reset(settle)
		case <-quiet.C:
			_ = read(true) // Status and log have the error
		}
	}
}
