package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
	"tstun/tunnel"
)

const applyHelp = `apply puts the policy FILE in force in the running tunnel, in the place of the
policy file's, for the time of --confirm. It says which open flows that cuts,
and waits. "tstun policy confirm", from another terminal, writes it to the
policy file and keeps it; "tstun policy rollback" ends the trial at once. If
neither comes in time, what was in force before is so again, also if this
command was cut off or ended. Then apply says what was refused meanwhile that
would not have been before.

A change of the policy file, a reload, and the end of the tunnel end the trial
too, by what is in the file.

Exit codes:
  0  it was confirmed
  1  it was rolled back, or refused, no tunnel answers, or a signal ended the
     command, not the trial
  2  FILE cannot be read or has errors, or the command line is wrong`

// applyResult is the JSON document of policy apply.
type applyResult struct {
	ui.Report
	Confirmed bool           `json:"confirmed"`
	Until     time.Time      `json:"until"`
	Cut       []plannedFlow  `json:"cut"`      // open flows that the policy does not allow
	CutFlows  int            `json:"cutFlows"` // how many there are of them
	Refused   []plannedFlow  `json:"refused"`  // meanwhile, that were allowed before
	hash      string         // of what is tried
	before    *policy.Policy // what was in force
	began     time.Time
}

// newApplyCommand returns the command that tries a policy.
func newApplyCommand(env ui.Environment, doc *document) *cobra.Command {
	var a asked
	var within time.Duration
	cmd := &cobra.Command{
		Use:     "apply FILE",
		Short:   "Try a policy, which is rolled back unless confirmed",
		Long:    applyHelp,
		Example: "  sudo tstun policy apply next.hujson --confirm 60s\n  sudo tstun policy confirm",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runApply(cmd.Context(), env, doc, &a, args[0], within)
		},
	}
	cmd.Flags().DurationVar(&within, "confirm", time.Minute, "roll back after this `TIME` unless it is confirmed, 1s to 24h")
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	a.addFlags(cmd, env)
	return cmd
}

func runApply(ctx context.Context, env ui.Environment, doc *document, a *asked, file string, within time.Duration) error {
	result := applyResult{Cut: []plannedFlow{}, Refused: []plannedFlow{}}
	doc.body = &result
	c, err := a.client(env)
	if err != nil {
		return err
	}
	now, err := a.policyText(ctx, env)
	if err != nil {
		return err
	}
	if result.before, err = parseText(now); err != nil {
		return err
	}
	text, next, err := readPolicy(env, file, now.Host)
	if err != nil {
		return err
	}
	plan, err := askPlan(ctx, c, text, next, control.FlowsQuery{Limit: control.MaxPlanned})
	if err != nil {
		return err
	}
	result.Cut, result.CutFlows = planned(result.Cut, next.Names(), plan.Cut), plan.CutFlows()
	result.began = time.Now()
	tried, err := c.TryPolicy(ctx, []byte(text.Text), within)
	if err != nil {
		return askFailure(err)
	}
	result.Until, result.hash = tried.Until, tried.Hash
	if !doc.wanted {
		if err := printTrial(env, &result); err != nil {
			return err
		}
	}
	return awaitTrial(ctx, env, doc, &seenFlows{asked: *a}, c, &result)
}

// planned appends flows in the form of JSON.
func planned(to []plannedFlow, names policy.Names, all []policy.Seen) []plannedFlow {
	for _, s := range all {
		to = append(to, plannedFlow{newNamedFlow(names, s.Flow), s.Peer, s.Packets, s.Bytes, s.Last})
	}
	return to
}

// showFlows prints flows, each behind a word, and how many more there are of all.
func showFlows(p *ui.Painter, word string, hue ui.Colour, flows []plannedFlow, all int, many string) {
	flows = flows[:min(len(flows), maxPlanned)]
	for _, f := range flows {
		p.Printf("%s %v\n", p.Paint(hue, word), f.namedFlow)
	}
	if more := all - len(flows); more > 0 {
		p.Printf("%s %s %s\n", p.Paint(hue, word), ui.Number(uint64(more)), many)
	}
}

func printTrial(env ui.Environment, r *applyResult) error {
	p := ui.NewPainter(env)
	showFlows(p, "cut   ", ui.Red, r.Cut, r.CutFlows, "more open flows")
	p.Printf("in force until %s, %s cut: tstun policy confirm keeps it, tstun policy rollback ends it\n",
		r.Until.Local().Format(time.TimeOnly), ui.Counted(r.CutFlows, "open flow", "open flows"))
	return p.Err()
}

// trialPoll is how often apply asks whether the trial is over.
const trialPoll = 250 * time.Millisecond

// awaitTrial waits until the trial is over, and says how.
func awaitTrial(ctx context.Context, env ui.Environment, doc *document, flows *seenFlows, c *control.Client, r *applyResult) error {
	var now tunnel.PolicyText
	for tick := time.NewTicker(trialPoll); ; {
		var err error
		if now, err = c.Policy(ctx); err != nil {
			return askFailure(err)
		}
		if now.Until.IsZero() || now.Hash != r.hash {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ui.Failf("tstun policy rollback ends the trial", "%w", errAbandoned)
		}
	}
	if r.Confirmed = now.Hash == r.hash; r.Confirmed {
		if !doc.wanted {
			p := ui.NewPainter(env)
			p.Printf("%s: it is the content of %s\n", p.Paint(ui.Green, "confirmed"), now.File)
			return p.Err()
		}
		return nil
	}
	return rolledBack(ctx, env, doc, flows, r)
}

// rolledBack says what was refused during the trial that was allowed before.
func rolledBack(ctx context.Context, env ui.Environment, doc *document, flows *seenFlows, r *applyResult) error {
	flows.since = r.began.Format(time.RFC3339Nano)
	seen, err := flows.ask(ctx, env, true)
	if err != nil {
		return err
	}
	seen = slices.DeleteFunc(seen, func(s policy.Seen) bool { return s.Last.Before(r.began) })
	plan, err := r.before.Plan(slices.Values(seen), 0)
	if err != nil {
		return ui.Failf("", "%w", err)
	}
	r.Refused = planned(r.Refused, r.before.Names(), plan.LetIn)
	if !doc.wanted {
		p := ui.NewPainter(env)
		showFlows(p, "refused meanwhile:", ui.Red, r.Refused, len(r.Refused), "more flows")
		if err := p.Err(); err != nil {
			return err
		}
	}
	return ui.Failf("", "the policy was not confirmed: what was in force before is so again, or what the file has by now; %s meanwhile", ui.Counted(len(r.Refused), "flow was refused", "flows were refused"))
}

const confirmHelp = `confirm keeps the policy that "tstun policy apply" tries: it writes it to the
policy file, in the place of what is there, and tells the tunnel. The file keeps
its mode.

Exit codes:
  0  it was confirmed
  1  no policy is being tried, the file cannot be written, no tunnel answers, or
     a signal ended it
  2  the command line is wrong`

// newConfirmCommand returns the command that keeps a policy that is tried.
func newConfirmCommand(env ui.Environment, doc *document) *cobra.Command {
	return newTrialCommand(env, doc, &cobra.Command{
		Use:     "confirm",
		Short:   "Keep the policy that is being tried",
		Long:    confirmHelp,
		Example: "  sudo tstun policy confirm",
	}, "confirmed", confirm)
}

// confirm writes the policy that is tried to its file, and ends the trial.
func confirm(ctx context.Context, c *control.Client) (tunnel.PolicyText, error) {
	now, err := c.Policy(ctx)
	if err == nil && !now.Until.IsZero() {
		if err = writeInPlace(now.File, []byte(now.Text)); err != nil {
			return now, ui.Failf("the trial goes on: write the file otherwise, with what GET /v1/policy has", "%w", err)
		}
	}
	if err != nil {
		return now, askFailure(err)
	}
	done, err := c.ConfirmPolicy(ctx)
	if err == nil {
		return done, nil
	}
	// The tunnel's watch of the file may have been faster.
	if after, again := c.Policy(ctx); again == nil && !now.Until.IsZero() && after.Until.IsZero() && after.Hash == now.Hash {
		return after, nil
	}
	return now, askFailure(err)
}

// writeInPlace puts a file with the text in the place of another, with its mode.
func writeInPlace(name string, text []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if whole, err := filepath.EvalSymlinks(name); err == nil {
		name = whole
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tstun-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

const rollbackHelp = `rollback ends the trial of "tstun policy apply": what was in force before is so
again.

Exit codes:
  0  it was rolled back
  1  no policy is being tried, no tunnel answers, or a signal ended it
  2  the command line is wrong`

// newRollbackCommand returns the command that ends the trial of a policy.
func newRollbackCommand(env ui.Environment, doc *document) *cobra.Command {
	return newTrialCommand(env, doc, &cobra.Command{
		Use:     "rollback",
		Short:   "End the trial of a policy, without keeping it",
		Long:    rollbackHelp,
		Example: "  sudo tstun policy rollback",
	}, "rolled back", func(ctx context.Context, c *control.Client) (tunnel.PolicyText, error) {
		now, err := c.RollBackPolicy(ctx)
		if err != nil {
			err = askFailure(err)
		}
		return now, err
	})
}

// trialResult is the JSON document of policy confirm and policy rollback.
type trialResult struct {
	ui.Report
	File string `json:"file"`
	Hash string `json:"hash"` // of what is in force
}

// newTrialCommand completes a command that ends a trial.
func newTrialCommand(env ui.Environment, doc *document, cmd *cobra.Command, done string, end func(context.Context, *control.Client) (tunnel.PolicyText, error)) *cobra.Command {
	var a asked
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		result := new(trialResult)
		doc.body = result
		c, err := a.client(env)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
		defer cancel()
		now, err := end(ctx, c)
		if err != nil {
			return err
		}
		result.File, result.Hash = now.File, now.Hash
		if doc.wanted {
			return nil
		}
		p := ui.NewPainter(env)
		p.Printf("%s: %s\n", p.Paint(ui.Green, done), now.File)
		return p.Err()
	}
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	a.addFlags(cmd, env)
	return cmd
}
