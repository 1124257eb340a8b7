//! Image as an OCI archive: the [image
//! layout](https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md) in a tar file. The same program
//! gives the same bytes.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Image that contains one program and runs it as an unprivileged user, like the image of the Dockerfile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'a> {
    /// Name and tag under which the image is loaded.
    pub(super) name: &'a str,
    /// Architecture, by its name in the specification.
    pub(super) architecture: &'a str,
    pub(super) version: &'a str,
    /// Commit of the program.
    pub(super) revision: &'a str,
    /// Content of the statically linked program.
    pub(super) program: &'a [u8],
}

const PROGRAM: &str = "nats-manager";
/// User and group, equal to those in the Deployment.
const USER: &str = "10001:10001";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Content-addressed part of the layout.
struct Blob {
    media_type: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Image<'_> {
    /// Returns the archive.
    pub(super) fn archive(&self) -> io::Result<Vec<u8>> {
        let layer = Blob::new(LAYER, self.layer()?);
        let config = Blob::new(CONFIG, self.config(&layer).to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        });
        let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());

        let mut descriptor = manifest.descriptor();
        // containerd reads the first annotation, other tools the second.
        descriptor["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": self.name,
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
        let mut archive = Builder::new(Vec::new());
        add(&mut archive, "oci-layout", 0o644, json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
        add(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
        for blob in [&layer, &config, &manifest] {
            add(&mut archive, &format!("blobs/sha256/{}", blob.digest), 0o644, &blob.content)?;
        }
        archive.into_inner()
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        add(&mut layer, PROGRAM, 0o755, self.program)?;
        layer.into_inner()
    }

    fn config(&self, layer: &Blob) -> Value {
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{PROGRAM}")],
                "Labels": {
                    "org.opencontainers.image.title": PROGRAM,
                    "org.opencontainers.image.version": self.version,
                    "org.opencontainers.image.revision": self.revision,
                    "org.opencontainers.image.licenses": "Apache-2.0",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]},
        })
    }
}

impl Blob {
    fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        let digest = base16ct::lower::encode_string(&Sha256::digest(&content));
        Self { media_type, digest, content }
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.content.len(),
        })
    }
}

/// Adds a file that is owned by root and has no modification time.
fn add(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    /// Returns the files of an archive, by path.
    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }

    /// Returns the blob of a descriptor, and checks size and digest.
    fn follow(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let content = &files[&format!("blobs/sha256/{digest}")];
        assert_eq!(descriptor["size"], content.len());
        assert_eq!(digest, Blob::new(LAYER, content.clone()).digest);
        content.clone()
    }

    #[test]
    fn every_blob_is_reachable_from_the_index_by_digest() {
        let image =
            Image { name: "a.example/m:1", architecture: "arm64", version: "1", revision: "r", program: b"program" };
        let files = files(&image.archive().unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let first = &index["manifests"][0];
        assert_eq!(first["annotations"]["io.containerd.image.name"], "a.example/m:1");
        let manifest: Value = serde_json::from_slice(&follow(&files, first)).unwrap();
        let config: Value = serde_json::from_slice(&follow(&files, &manifest["config"])).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["User"], USER);
        assert_eq!((&config["architecture"], &config["os"]), (&json!("arm64"), &json!("linux")));
        let layer = super::tests::files(&follow(&files, &manifest["layers"][0]));
        assert_eq!(layer["nats-manager"], b"program");
    }

    #[test]
    fn same_program_gives_same_archive() {
        let image =
            Image { name: "a.example/m:1", architecture: "arm64", version: "1", revision: "r", program: b"program" };
        assert_eq!(image.archive().unwrap(), image.archive().unwrap());
    }
}
