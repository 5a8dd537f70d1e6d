package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// shells are the shells for which completion has a script.
var shells = []struct {
	name     string
	now      string // loads the script into a running session
	always   string // makes every new session load the script
	generate func(root *cobra.Command) error
}{
	{"bash", "source <(tstun completion bash)", "tstun completion bash > /etc/bash_completion.d/tstun",
		func(root *cobra.Command) error { return root.GenBashCompletionV2(root.OutOrStdout(), true) }},
	{"zsh", "source <(tstun completion zsh)", `tstun completion zsh > "${fpath[1]}/_tstun"`,
		func(root *cobra.Command) error { return root.GenZshCompletion(root.OutOrStdout()) }},
	{"fish", "tstun completion fish | source", "tstun completion fish > ~/.config/fish/completions/tstun.fish",
		func(root *cobra.Command) error { return root.GenFishCompletion(root.OutOrStdout(), true) }},
	{"powershell", "tstun completion powershell | Out-String | Invoke-Expression", "tstun completion powershell >> $PROFILE",
		func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(root.OutOrStdout()) }},
}

// addCompletion adds the command that prints completion scripts, in place of
// cobra's own.
func addCompletion(root *cobra.Command) {
	root.CompletionOptions.DisableDefaultCmd = true
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script with which a shell completes tstun's commands",
		Long:  "completion prints the script with which a shell completes tstun's commands,\nflags and topics as you type: for bash, zsh, fish or powershell.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return ui.BadInput("did you mean tstun completion bash?", fmt.Errorf("no shell: want bash, zsh, fish or powershell"))
		},
	}
	for _, s := range shells {
		cmd.AddCommand(&cobra.Command{
			Use:   s.name,
			Short: "Print the script for " + s.name,
			Long:  fmt.Sprintf("Print the script for %s. To use it in this session:\n\n  %s\n\nIn every new one:\n\n  %s", s.name, s.now, s.always),
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := s.generate(cmd.Root()); err != nil {
					return ui.WriteFailure(err)
				}
				return nil
			},
		})
	}
	root.AddCommand(cmd)
}
