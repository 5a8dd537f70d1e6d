package tunnel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tstun/internal/hook"
)

// hookTime is how long a hook may take when the tunnel ends.
const hookTime = time.Minute

// preUp runs the PreUp hooks, before anything is done, and has Close run the
// PostDown hooks once all is undone, if the tunnel was up.
func (t *Tunnel) preUp(ctx context.Context) error {
	h := t.now().Hooks
	t.atClose("run PostDown", t.downHooks("PostDown", h.PostDown))
	return t.upHooks(ctx, "PreUp", h.PreUp)
}

// postUp runs the PostUp hooks, and has Close run the PreDown hooks before
// anything is undone. After a PostUp that fails, as with wg-quick, no hook runs.
func (t *Tunnel) postUp(ctx context.Context) error {
	h := t.now().Hooks
	if err := t.upHooks(ctx, "PostUp", h.PostUp); err != nil {
		return err
	}
	t.wasUp = true
	t.atClose("run PreDown", t.downHooks("PreDown", h.PreDown))
	return nil
}

func (t *Tunnel) upHooks(ctx context.Context, key string, commands []string) error {
	for i, command := range commands {
		if err := t.runHook(ctx, fmt.Sprintf("%s %d", key, i+1), command); err != nil {
			return err
		}
	}
	return nil
}

// downHooks returns what runs hooks when the tunnel that was up ends, once. One
// that fails does not keep the next from running.
func (t *Tunnel) downHooks(key string, commands []string) func() error {
	return func() error {
		todo := commands
		commands = nil
		if !t.wasUp {
			return nil
		}
		var errs []error
		for i, command := range todo {
			ctx, cancel := context.WithTimeout(context.Background(), hookTime)
			errs = append(errs, t.runHook(ctx, fmt.Sprintf("%s %d", key, i+1), command))
			cancel()
		}
		return errors.Join(errs...)
	}
}

// runHook runs a hook, which is told by its key and number: its text may hold a
// secret.
func (t *Tunnel) runHook(ctx context.Context, which, command string) error {
	t.logf("hook %s runs", which)
	err := hook.Run(ctx, command, t.now().Name, func(line string) { t.logf("hook %s: %s", which, line) })
	if err != nil {
		err = fmt.Errorf("hook %s: %w", which, err)
		t.logf("%v", err)
		t.emit(Event{Kind: HookFailed, Time: time.Now(), Text: err.Error()})
	}
	return err
}
