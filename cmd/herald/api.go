package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
)

func apiCommand(sh *shell) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "api [METHOD [JSON]]",
		Short: "Call any method of the local API, or list them",
		Long: `Calls a method with a JSON object and prints the answer. Without JSON, or with
"-", the object is read from stdin if that is not a terminal; else it is {}.
Without a method it lists all; "herald api METHOD --help" tells of one.`,
		Example: `  herald api
  herald api im.sendC2CTextMessage --help
  herald api im.sendC2CTextMessage '{"userId":"indoor","text":"hello"}'`,
		Args: cobra.MaximumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
			if len(args) == 0 {
				for _, m := range protocol.Methods() {
					out = append(out, m.Name+"\t"+m.Doc)
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return sh.listMethods()
			}
			info := protocol.Lookup(args[0])
			if info == nil {
				return usagef("there is no method %q; \"herald api\" lists them", args[0])
			}
			body, err := sh.requestBody(info, args[1:])
			if err != nil {
				return err
			}
			_, err = sh.callRaw(cmd.Context(), info.Name, body, true)
			return err
		},
	}
	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(c *cobra.Command, args []string) {
		if words := c.Flags().Args(); len(words) > 0 {
			if info := protocol.Lookup(words[0]); info != nil {
				sh.describeMethod(info)
				return
			}
		}
		help(c, args)
	})
	return cmd
}

// requestBody finds the JSON to send. A method without fields never waits for
// stdin.
func (sh *shell) requestBody(info *protocol.Info, args []string) (body []byte, err error) {
	switch {
	case len(args) == 1 && args[0] != "-":
		body = []byte(args[0])
	case len(args) == 1 || sh.piped && info.Request.NumField() > 0:
		if body, err = sh.readInput(); err != nil {
			return nil, err
		}
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return []byte("{}"), nil
	}
	if !json.Valid(body) || body[0] != '{' {
		return nil, usagef("what is to be sent to %s is not a JSON object", info.Name)
	}
	return body, nil
}

func (sh *shell) listMethods() error {
	if !sh.json {
		var rows [][]string
		for _, m := range protocol.Methods() {
			rows = append(rows, []string{m.Name, m.Doc})
		}
		sh.columns("", rows)
		return nil
	}
	type method struct {
		Name  string `json:"name"`
		Doc   string `json:"doc"`
		Scope string `json:"scope"`
		Route string `json:"route"`
	}
	list := []method{}
	for _, m := range protocol.Methods() {
		list = append(list, method{m.Name, m.Doc, m.Scope.String(), m.Route.String()})
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	sh.printJSON(b)
	return nil
}

// describeMethod says what the registry knows of a method.
func (sh *shell) describeMethod(info *protocol.Info) {
	fmt.Fprintf(sh.out, "%s %s.\n", info.Name, info.Doc)
	switch info.Route {
	case protocol.Local:
		fmt.Fprintln(sh.out, "Answered on the board.")
	case protocol.Hub:
		fmt.Fprintln(sh.out, "Asked of the hub: needs the link.")
	case protocol.Queued:
		fmt.Fprintln(sh.out, "Queued: it succeeds once it is on disk, with or without the link.")
	}
	fields := func(title string, t reflect.Type) {
		fmt.Fprintf(sh.out, "\n%s:\n", title)
		rows := fieldRows(t, "")
		if len(rows) == 0 {
			rows = [][]string{{"no fields"}}
		}
		sh.columns("  ", rows)
	}
	fields("Request", info.Request)
	for _, a := range info.Aliases {
		fmt.Fprintf(sh.out, "  %s may be written %s\n", a.Field, a.Also)
	}
	fields("Answer", info.Response)
	fmt.Fprint(sh.out, "\nCodes:\n")
	codes := append([]protocol.Code{protocol.CodeInvalidParameters}, info.Codes...)
	var rows [][]string
	for _, c := range codes {
		row, _ := c.Row()
		rows = append(rows, []string{strconv.Itoa(int(c)), row.Meaning})
	}
	sh.columns("  ", rows)
	fmt.Fprintf(sh.out, "\nExample:\n  herald api %s '%s'\n", info.Name, example(info.Request))
}

// fieldRows lists a struct's fields as they are in JSON, with those of objects
// within behind them.
func fieldRows(t reflect.Type, prefix string) (rows [][]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			rows = append(rows, fieldRows(f.Type, prefix)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		ft, many := f.Type, ""
		optional := strings.Contains(options, "omitempty") || ft.Kind() == reflect.Pointer
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Slice {
			ft, many = ft.Elem(), "list of "
		}
		kind := many + kindName(ft)
		if optional {
			kind += ", optional"
		}
		rows = append(rows, []string{prefix + name, kind})
		if ft.Kind() == reflect.Struct {
			rows = append(rows, fieldRows(ft, prefix+name+".")...)
		}
	}
	return rows
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "number"
}

// example is a request with the fields that are not optional, empty.
func example(t reflect.Type) string {
	var parts []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.Contains(options, "omitempty") {
			continue
		}
		value := map[string]string{"string": `"…"`, "boolean": "false", "number": "0"}[kindName(f.Type)]
		if value == "" {
			value = "{}"
		}
		parts = append(parts, strconv.Quote(name)+":"+value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}
