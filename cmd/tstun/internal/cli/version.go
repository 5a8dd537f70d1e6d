package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// newVersionCommand returns the command that prints the version.
func newVersionCommand(env ui.Environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "version prints the version of tstun and of the Go that it was built with, and\nthe system that it was built for, as tstun --version does.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := io.WriteString(env.Stdout, versionLine()); err != nil {
				return ui.WriteFailure(err)
			}
			return nil
		},
	}
}

// versionLine returns the line that version and --version print.
func versionLine() string {
	return fmt.Sprintf("tstun %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version returns the module's version. A build of a working tree has none; for
// it, version returns the revision, or "devel" if that is not known either.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
