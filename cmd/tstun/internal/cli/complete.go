package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/policy"
)

// completeTimeout bounds how long a tunnel that runs may take to tell names: somebody
// waits at a prompt.
const completeTimeout = time.Second

// completeTunnel completes NAME, the only argument, by the tunnels that this user may ask.
func completeTunnel(env ui.Environment, stateDir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return (&asked{stateDir: *stateDir}).names(env), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlow completes SRC and DST:PORT: by the names of the policy file, if one is
// given, or else by those of the tunnel that runs. host is for whom the file is read.
func completeFlow(env ui.Environment, a *asked, file, host *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := namesOfTunnel
		if *file != "" {
			names = func(ui.Environment, *asked) []string { return namesOfFile(env, *file, *host) }
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if len(args) == 1 { // a port follows
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return names(env, a), directive
	}
}

// namesOfFile returns the names of hosts and groups of a policy file, or nothing if it
// cannot be read. Standard input is not the prompt's to read.
func namesOfFile(env ui.Environment, file, host string) []string {
	if file == stdinFile {
		return nil
	}
	policies, err := readPolicies(env, []string{file}, host)
	if err != nil {
		return nil
	}
	return policies[0].Named()
}

// namesOfTunnel returns what a tunnel that runs knows flows by: names of peers and of its
// policy, then its addresses and those that are a peer's alone.
func namesOfTunnel(env ui.Environment, a *asked) []string {
	known := knownTo(env, a)
	slices.Sort(known.names)
	return append(slices.Compact(known.names), known.addresses...)
}

// known is what a tunnel that runs knows.
type known struct{ peers, names, addresses []string }

// knownTo asks the tunnel. What it does not tell is left out.
func knownTo(env ui.Environment, a *asked) (k known) {
	c, err := a.client(env)
	if err != nil {
		return k
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	if s, err := c.Status(ctx); err == nil {
		k.addStatus(&s)
	}
	if p, err := c.Policy(ctx); err == nil && p.Text != "" {
		if parsed, err := policy.ParseFor(p.File, []byte(p.Text), p.Host); err == nil {
			k.names = append(k.names, parsed.Named()...)
		}
	}
	return k
}

func (k *known) addStatus(s *control.Status) {
	for _, p := range s.Addresses {
		k.addresses = append(k.addresses, p.Addr().String())
	}
	for i := range s.Peers {
		p := &s.Peers[i]
		if p.Name != "" {
			k.peers, k.names = append(k.peers, p.Name), append(k.names, p.Name)
		}
		for _, a := range p.AllowedIPs {
			if a.IsSingleIP() {
				k.addresses = append(k.addresses, a.Addr().String())
			}
		}
	}
}

// completeWords completes a flag by the words that it may have.
func completeWords[T ~string](cmd *cobra.Command, flag string, words ...T) {
	var all []cobra.Completion
	for _, w := range words {
		all = append(all, string(w))
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
}

// filterWords are those that a filter expression may begin with, and that join its tests.
var filterWords = []string{
	"tcp", "udp", "icmp", "icmp6", "ip", "ip6", "host", "net", "port", "portrange", "proto", "src", "dst", "in", "out",
	"accepted", "dropped", "reason", "peer", "not", "and", "or",
}

// completeFilter completes the words of FILTER, each an argument, by what may stand behind
// the word before.
func completeFilter(env ui.Environment, a *asked) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if strings.ContainsAny(toComplete, " '\"") { // a filter in one argument
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		last := ""
		if len(args) > 0 {
			last = args[len(args)-1]
		}
		var words []string
		switch last {
		case "peer":
			words = knownTo(env, a).peers
		case "host":
			words = knownTo(env, a).addresses
		case "reason":
			for _, r := range filter.Reasons() {
				words = append(words, r.String()+"\t"+r.Explain())
			}
		case "src", "dst":
			words = []string{"host", "net", "port", "portrange"}
		case "port", "portrange", "net", "proto":
		default:
			words = filterWords
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
