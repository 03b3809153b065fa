package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
)

func versionCommand(sh *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long:  `Prints the version of this program. "herald status" shows the running daemon's.`,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !sh.json {
				fmt.Fprintf(sh.out, "herald %s (%s, %s/%s)\n", protocol.BuildVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
			b, err := json.Marshal(struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{protocol.BuildVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH})
			if err != nil {
				return err
			}
			sh.printJSON(b)
			return nil
		},
	}
}
