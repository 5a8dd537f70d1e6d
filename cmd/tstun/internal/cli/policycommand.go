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

// textOrAsk returns the policy of a file and its text, or without a file those of the one
// in force.
func (a *asked) textOrAsk(ctx context.Context, env ui.Environment, file, host string) (text tunnel.PolicyText, p *policy.Policy, err error) {
	if file != "" {
		return readPolicy(env, file, host)
	}
	if host != "" {
		return text, nil, errLocalAlone
	}
	if text, err = a.policyText(ctx, env); err != nil {
		return text, nil, err
	}
	p, err = parseText(text)
	return text, p, err
}

// readPolicy reads a file as readPolicies does.
func readPolicy(env ui.Environment, file, host string) (text tunnel.PolicyText, p *policy.Policy, err error) {
	data, err := readFile(env, file)
	if err != nil {
		return text, nil, ui.BadInput(policyHint(err), err)
	}
	text = tunnel.PolicyText{File: fileName(file), Host: host, Text: string(data)}
	if p, err = parseFile(text.File, data, host); err != nil {
		return text, nil, ui.BadInput(policyHint(err), err)
	}
	return text, p, nil
}

// parseText parses the policy in force.
func parseText(text tunnel.PolicyText) (*policy.Policy, error) {
	p, err := parseFile(text.File, []byte(text.Text), text.Host)
	if err != nil {
		return nil, ui.Failf("", "%w", err)
	}
	return p, nil
}
