package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// S3 is where complete files are kept that are not kept on disk. Without a Bucket
// there is none.
type S3 struct {
	Endpoint  string // http:// or https://, HOST or HOST:PORT
	Bucket    string
	Region    string // empty: as the server says
	AccessKey string
	SecretKey string
}

// bucket is a vault in S3. The objects are named APP/xx/HASH, xx the first two
// digits. Uploads gather on disk all the same: their hash has to be known before
// they are kept, and S3 takes no piece below 5 MiB.
type bucket struct {
	core   minio.Core
	name   string
	prefix string
	idle   *http.Transport
}

// s3Tries is how often a request is tried: whoever waits for it tries again, too.
const s3Tries = 3

func newBucket(c S3, app protocol.AppID) (*bucket, error) {
	at, err := url.Parse(c.Endpoint)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return nil, errors.New("the S3 endpoint (files.s3_endpoint) is not a URL such as https://s3.example:9000")
	}
	secure := at.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("use the S3 endpoint (files.s3_endpoint): %w", err)
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Secure: secure, Region: c.Region, Transport: transport, MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("use the S3 endpoint (files.s3_endpoint): %w", err)
	}
	return &bucket{minio.Core{Client: client}, c.Bucket, fmt.Sprint(app), transport}, nil
}

func (b *bucket) close() { b.idle.CloseIdleConnections() }

// inBucket begins Storage of what is in a bucket; the bucket's name and the key
// follow.
const inBucket = "s3:"

func (b *bucket) key(hash string) string { return path.Join(b.prefix, hash[:2], hash) }

func (b *bucket) storage(hash string) string { return inBucket + b.name + "/" + b.key(hash) }

// at is the bucket and the key of a file, which may be of an earlier configuration.
func (b *bucket) at(f store.StoredFile) (name, key string, err error) {
	rest, ok := strings.CutPrefix(f.Storage, inBucket)
	name, key, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return "", "", fmt.Errorf("the file is in %q, which this hub does not know", f.Storage)
	}
	return name, key, nil
}

func (b *bucket) put(ctx context.Context, hash, path string) (string, error) {
	_, err := b.core.FPutObject(ctx, b.name, b.key(hash), path, minio.PutObjectOptions{
		ContentType:      "application/octet-stream",
		DisableMultipart: true, // what breaks off leaves no parts that nobody finds and somebody pays for
	})
	if err != nil {
		return "", fmt.Errorf("put the file into the bucket: %w", err)
	}
	return b.storage(hash), nil
}

func (b *bucket) open(ctx context.Context, f store.StoredFile) (io.ReadSeekCloser, error) {
	name, key, err := b.at(f)
	if err != nil {
		return nil, err
	}
	info, err := b.core.StatObject(ctx, name, key, minio.StatObjectOptions{})
	switch {
	case absent(err):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, fmt.Errorf("ask for the file in the bucket: %w", err)
	case info.Size != f.Size:
		return nil, fmt.Errorf("the object is not the one that was put there: %w", fs.ErrNotExist)
	}
	return &object{ctx: ctx, b: b, name: name, key: key, size: f.Size}, nil
}

func absent(err error) bool {
	return err != nil && minio.ToErrorResponse(err).StatusCode == http.StatusNotFound
}

func (b *bucket) remove(ctx context.Context, f store.StoredFile) error {
	name, key, err := b.at(f)
	if err != nil {
		return err
	}
	if err := b.core.RemoveObject(ctx, name, key, minio.RemoveObjectOptions{}); err != nil && !absent(err) {
		return fmt.Errorf("remove the file from the bucket: %w", err)
	}
	return nil
}

func (b *bucket) list(ctx context.Context, digits string) (out []store.StoredFile, err error) {
	prefix := path.Join(b.prefix, digits) + "/"
	for o := range b.core.Client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			err = fmt.Errorf("look through the bucket: %w", o.Err)
			continue // until it is closed
		}
		if hash := strings.TrimPrefix(o.Key, prefix); protocol.ValidHash(hash) && hash[:2] == digits {
			out = append(out, store.StoredFile{Hash: hash, Storage: b.storage(hash)})
		}
	}
	return out, err
}

// object reads an object from any place: each Seek begins a request at the next
// Read.
type object struct {
	ctx       context.Context // the request's: the reader ends with it
	b         *bucket
	name, key string
	size, at  int64
	body      io.ReadCloser // nil: none is open
}

func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.body == nil {
		var opts minio.GetObjectOptions
		if err := opts.SetRange(o.at, o.size-1); err != nil {
			return 0, err
		}
		body, _, _, err := o.b.core.GetObject(o.ctx, o.name, o.key, opts)
		if err != nil {
			return 0, fmt.Errorf("read the file in the bucket: %w", err)
		}
		o.body = body
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if errors.Is(err, io.EOF) && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the file's beginning")
	}
	if offset != o.at {
		if err := o.Close(); err != nil {
			return 0, err
		}
		o.at = offset
	}
	return offset, nil
}

func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	body := o.body
	o.body = nil
	return body.Close()
}
