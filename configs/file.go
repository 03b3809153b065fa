package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the longest file that is read, in bytes.
const maxFile = 1 << 20

// load reads the file at path over the values in target, a pointer to Agent or
// Hub, and applies its rules. Path "" is standard; only there may the file be
// missing.
func load(path, standard string, target any, rules func() []rule) error {
	if path == "" {
		path = standard
	}
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && path == standard {
		return failed(rules()).orNil()
	}
	if err != nil {
		return Problems{{File: path, Text: reason(err)}}
	}
	lines, ps := parse(data, target)
	if ps == nil {
		ps = failed(rules())
		for i := range ps {
			ps[i].Line = lines[ps[i].Key]
		}
	}
	for i := range ps {
		ps[i].File = path
	}
	return ps.orNil()
}

// reason takes the path out of an error that will be shown after it.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return "cannot be read: " + pe.Err.Error()
	}
	return err.Error()
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory, not a file")
	case !info.Mode().IsRegular(): // opening a FIFO would wait for its writer
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing to lose
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("has more than %s: this cannot be a configuration of Herald", Size(maxFile))
	}
	return data, nil
}

// parse sets the keys that data has in target and returns the line of each.
func parse(data []byte, target any) (lines map[string]int, ps Problems) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as some editors put there
	if ps = checkText(data); ps != nil {
		return nil, ps
	}
	lines, ps = outline(data, schemaOf(target))
	if ps != nil {
		return nil, ps
	}
	// The outline has met unknown keys already; should it ever know more keys than
	// the decoder, none may be passed over.
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(target)
	if err == nil {
		return lines, nil
	}
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		for i := range strict.Errors {
			ps = append(ps, decodeProblem(&strict.Errors[i]))
		}
		return nil, ps
	}
	return nil, Problems{decodeProblem(err)}
}

func decodeProblem(err error) Problem {
	p := Problem{Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Line, _ = de.Position()
		p.Key = strings.Join(de.Key(), ".")
	}
	return p
}

// checkText refuses what is not text, before a parser complains of its first odd
// byte in words that lead nowhere.
func checkText(data []byte) Problems {
	line := 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return Problems{{Line: line, Text: fmt.Sprintf("the byte 0x%02x is not text: the file must be TOML in UTF-8", data[i])}}
		}
		if r == '\n' {
			line++
		}
		i += n
	}
	return nil
}
