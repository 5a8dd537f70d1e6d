package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
	"tstun/tunnel"
)

// newPolicyCommand returns the command below which those are that compute on a
// policy. It is a topic, too: its help is the form of the policy file.
func newPolicyCommand(env ui.Environment, doc *document) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "policy",
		Short:       "The form of the policy file",
		Long:        strings.ReplaceAll(policy.Format, "\t", "    "),
		Annotations: map[string]string{topicMark: "yes"},
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	usage := cmd.HelpFunc()
	cmd.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c != cmd {
			usage(c, args)
			return
		}
		fmt.Fprintln(c.OutOrStdout(), strings.TrimSpace(c.Long))
	})
	cmd.AddCommand(newMatrixCommand(env, doc), newUsageCommand(env, doc), newSuggestCommand(env, doc), newPlanCommand(env, doc),
		newApplyCommand(env, doc), newConfirmCommand(env, doc), newRollbackCommand(env, doc), newAuditCommand(env, doc))
	return cmd
}

// policyText returns the text of the policy in force.
func (a *asked) policyText(ctx context.Context, env ui.Environment) (tunnel.PolicyText, error) {
	c, err := a.client(env)
	if err != nil {
		return tunnel.PolicyText{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	text, err := c.Policy(ctx)
	switch {
	case err != nil:
		return text, askFailure(err)
	case text.File == "":
		return text, ui.Failf("tstun up --policy FILE gives it one", "tunnel %s has no policy: all that the allowed IPs admit is accepted", c.Name)
	}
	return text, nil
}

// errLocalAlone is of --local where no file is named.
var errLocalAlone = ui.BadInput("", errors.New("--local without a file: the tunnel has read its policy for itself"))

// readOrAsk returns the policy of a file, or without a file the one in force.
func (a *asked) readOrAsk(ctx context.Context, env ui.Environment, file, host string) (*policy.Policy, error) {
	if file != "" {
		policies, err := readPolicies(env, []string{file}, host)
		if err != nil {
			return nil, err
		}
		return policies[0], nil
	}
	if host != "" {
		return nil, errLocalAlone
	}
	text, err := a.policyText(ctx, env)
	if err != nil {
		return nil, err
	}
	return parseText(text)
}

// parseText parses the policy in force.
func parseText(text tunnel.PolicyText) (*policy.Policy, error) {
	p, err := policy.Parse(text.File, []byte(text.Text))
	if text.Host != "" {
		p, err = policy.ParseFor(text.File, []byte(text.Text), text.Host)
	}
	if err != nil {
		return nil, ui.Failf("", "%w", err)
	}
	return p, nil
}
