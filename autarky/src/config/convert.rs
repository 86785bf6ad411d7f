//! The one conversion from the file as written to the file as meant. Problems are collected, not thrown: the reader
//! gets all of them, each with its line and what to do.

use super::catalog;
use super::checked::{Checked, UnitSpec};
use super::file::{ConfigFile, ContractFile, DeploymentFile, HouseFile, LedgerFile};
use super::place::{Places, Problem, Problems, Severity};
use super::{known, secret};
use crate::catalog::Catalog;
use crate::catalog::row::{RateRow, date};
use canon::wire::{Target, protocol, protocols};
use gateway::upstream::remote::RemoteConfig;
use gateway::upstream::{ProviderRow, auth};
use http::{HeaderName, HeaderValue};
use policy::fleet::{Cap, Commitment};
use policy::{Caps, Deployment, Fleet, FleetSpec, NanoUsd, Price, Tariff, Wall};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checks `text`, which lies in the file `name`, as of `now`.
pub(super) fn check(name: &str, text: &str, now: Wall) -> Result<Checked, Problems> {
    let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
    let catalog = Catalog::default();
    let mut converter = Converter { places: Places::of(text), problems: Vec::new(), catalog, folder, now };
    let checked = match toml::from_str::<ConfigFile>(text) {
        Ok(file) => converter.convert(file, text),
        Err(error) => {
            converter.syntax(&error);
            None
        }
    };
    let mut problems = converter.problems;
    problems.sort_by_key(|problem| problem.at);
    let has_errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    match checked {
        Some(mut checked) if !has_errors => {
            checked.warnings = problems;
            Ok(checked)
        }
        _ => Err(Problems { file: name.to_owned(), list: problems }),
    }
}

struct Converter<'a> {
    places: Places<'a>,
    problems: Vec<Problem>,
    catalog: Catalog,
    /// Where the file lies.
    folder: PathBuf,
    now: Wall,
}

impl Converter<'_> {
    fn say(&mut self, severity: Severity, path: &[&str], message: String, hint: Option<String>) {
        self.problems.push(Problem { severity, message, at: self.places.find(path), hint });
    }

    fn fail(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.say(Severity::Error, path, message.into(), Some(hint.into()));
    }

    /// A file that is no configuration at all.
    fn syntax(&mut self, error: &toml::de::Error) {
        let message = error.message().trim().replace('\n', "; ");
        let hint = message
            .split_once(", expected")
            .map(|(_, rest)| format!("known here:{}", rest.trim_start_matches(" one of")));
        self.problems.push(Problem {
            severity: Severity::Error,
            message: message.split_once(", expected").map_or(message.clone(), |(head, _)| head.to_owned()),
            at: error.span().map(|span| self.places.line_column(span.start)),
            hint,
        });
    }

    fn convert(&mut self, file: ConfigFile, text: &str) -> Option<Checked> {
        let hash = Sha256::digest(text.as_bytes());
        let version: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let number = hash.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let rows = self.rows(&file.provider)?;
        self.catalog(&file);
        let (mut deployments, mut units) = (Vec::new(), Vec::new());
        for (name, written) in &file.deployment {
            if let Some((deployment, unit)) = self.deployment(name, written, &rows, &file) {
                deployments.push(deployment);
                units.push(unit);
            }
        }
        self.whole(&file);
        let assumed = dollars(file.server.unknown_usd_per_million);
        let unknown_price = Price::flat(assumed, assumed);
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return None;
        }
        let products = file.product.into_iter().collect();
        let fleet = match Fleet::build(FleetSpec { version: number, deployments, products, unknown_price }) {
            Ok(fleet) => fleet,
            Err(errors) => {
                for error in errors {
                    let table = if error.product.is_empty() { "deployment" } else { "product" };
                    let path: Vec<&str> = [table, &error.product]
                        .into_iter()
                        .chain(error.path.split('.'))
                        .filter(|step| !step.is_empty())
                        .collect();
                    self.say(Severity::Error, &path, error.message.clone(), error.hint.clone());
                }
                return None;
            }
        };
        let now = self.now;
        let mut tell = |path: &[&str], message, hint| self.say(Severity::Warning, path, message, Some(hint));
        super::reach::warn(&fleet, &mut tell);
        known::warn(&fleet, now, &mut tell);
        known::notices(&file.contract, now, &mut tell);
        super::survive::warn(&fleet, now, &mut tell);
        Some(Checked {
            server: file.server,
            admin: file.admin,
            ledger: file.ledger,
            state: file.state,
            house: file.house,
            fleet: Arc::new(fleet),
            units,
            version,
            warnings: Vec::new(),
        })
    }

    /// What no table says by itself.
    fn whole(&mut self, file: &ConfigFile) {
        if file.deployment.is_empty() {
            self.fail(
                &[],
                "there is no deployment: nothing could answer",
                "add `[deployment.house]` with `engine = \"embedded\"`",
            );
        }
        if file.product.is_empty() {
            self.fail(&[], "there is no product: nobody could call", "add `[product.default]` with `anonymous = true`");
        }
        if file.admin.listen.is_some_and(|listen| listen == file.server.listen && listen.port() != 0) {
            self.fail(
                &["admin", "listen"],
                format!("the admin API and clients have the same address, `{}`", file.server.listen),
                "give the admin API a port of its own",
            );
        }
        for (name, rules) in &file.product {
            if rules.anonymous && !file.server.listen.ip().is_loopback() {
                let message =
                    format!("product `{name}` needs no key, but the server listens on `{}`", file.server.listen);
                let hint =
                    "requests without a key are served on loopback only: give the product keys, or listen on 127.0.0.1";
                self.fail(&["product", name, "anonymous"], message, hint);
            }
        }
        let LedgerFile { keep_days, keep_sums_days } = file.ledger;
        if keep_sums_days > 0 && (keep_days == 0 || keep_sums_days < keep_days) {
            let message = format!("`keep_sums_days = {keep_sums_days}` is less than the rows are kept");
            let hint = "sums are never forgotten before their rows: raise it, or write 0 to keep them for good";
            self.say(Severity::Warning, &["ledger", "keep_sums_days"], message, Some(hint.to_owned()));
        }
    }

    /// The catalog of models with the user's own files over it.
    fn catalog(&mut self, file: &ConfigFile) {
        match Catalog::with(file.catalog.files.iter().map(|path| self.folder.join(path))) {
            Ok(catalog) => self.catalog = catalog,
            Err(error) => {
                self.fail(&["catalog", "files"], error.to_string(), "`autarky catalog show` tells an entry's form")
            }
        }
    }

    /// The catalog's rows with the user's laid over them.
    fn rows(&mut self, written: &BTreeMap<String, ProviderRow>) -> Option<BTreeMap<String, ProviderRow>> {
        let mut rows = match catalog::providers() {
            Ok(rows) => rows,
            Err(error) => {
                self.fail(&[], format!("the catalog inside the binary is damaged: {error}"), "report this as a bug");
                return None;
            }
        };
        for (name, row) in written {
            let row = rows.remove(name).unwrap_or_default().overlaid(row);
            if row.base_url.is_none() {
                let hint = "add `base_url = \"https://…/v1\"`, or use a row of the catalog";
                self.fail(&["provider", name], format!("provider `{name}` has no `base_url`"), hint);
            }
            rows.insert(name.clone(), row);
        }
        Some(rows)
    }

    fn deployment(
        &mut self,
        name: &str,
        written: &DeploymentFile,
        rows: &BTreeMap<String, ProviderRow>,
        file: &ConfigFile,
    ) -> Option<(Deployment, UnitSpec)> {
        let house = &file.house;
        let mut deployment = self.facts(name, written, &file.contract)?;
        match (&written.provider, &written.engine) {
            (None, Some(engine)) if engine == "embedded" => {
                deployment.provider = "house".to_owned();
                deployment.house = true;
                deployment.price.get_or_insert_with(|| Arc::new(Tariff::flat("house", Price::FREE)));
                for (fact, default) in [
                    (&mut deployment.host, "own"),
                    (&mut deployment.invoicer, "own"),
                    (&mut deployment.account, "house"),
                    (&mut deployment.maker, "huggingface"),
                ] {
                    if fact.is_empty() {
                        default.clone_into(fact);
                    }
                }
                deployment.family.get_or_insert_with(|| "smollm2".to_owned());
                if written.model.is_none() {
                    deployment.model = house_model(house);
                }
                let model = deployment.model.clone();
                Some((deployment, UnitSpec::House { model }))
            }
            (None, Some(engine)) => {
                self.fail(&["deployment", name, "engine"], format!("unknown engine `{engine}`"), "known: embedded");
                None
            }
            (Some(provider), None) => {
                let Some(row) = rows.get(provider) else {
                    let message = format!("unknown provider `{provider}` in deployment `{name}`");
                    let hint = hint_of(provider, rows.keys().map(String::as_str));
                    self.fail(&["deployment", name, "provider"], message, hint);
                    return None;
                };
                self.remote(deployment, provider, written, row)
            }
            _ => {
                let hint = "`provider` for a model at a provider, `engine = \"embedded\"` for the model inside";
                self.fail(
                    &["deployment", name],
                    format!("deployment `{name}` needs either `provider` or `engine`"),
                    hint,
                );
                None
            }
        }
    }

    /// What the file itself says of a deployment.
    fn facts(
        &mut self,
        name: &str,
        written: &DeploymentFile,
        contracts: &BTreeMap<String, ContractFile>,
    ) -> Option<Deployment> {
        let mut deployment = Deployment {
            name: name.to_owned(),
            model: written.model.clone().unwrap_or_else(|| name.to_owned()),
            maker: written.maker.clone().unwrap_or_default(),
            host: written.host.clone().unwrap_or_default(),
            invoicer: written.invoicer.clone().unwrap_or_default(),
            account: written.account.clone().unwrap_or_default(),
            region: written.region.clone(),
            family: written.family.clone(),
            has: self.caps(name, "has", &written.has),
            lacks: self.caps(name, "lacks", &written.lacks),
            context: written.context,
            max_output: written.max_output,
            price: written.price.and_then(|price| self.price(name, &price)),
            limits: written.limits,
            quality: written.quality,
            order: written.order,
            ..Deployment::default()
        };
        if let Some(day) = &written.retires {
            deployment.retires = date(day);
            if deployment.retires.is_none() {
                let message = format!("`{day}` is no date");
                self.fail(&["deployment", name, "retires"], message, "write it like 2032-12-31");
            }
        }
        if let Some(contract) = &written.contract {
            let Some(terms) = contracts.get(contract) else {
                let message = format!("unknown contract `{contract}` in deployment `{name}`");
                let hint = hint_of(contract, contracts.keys().map(String::as_str));
                self.fail(&["deployment", name, "contract"], message, hint);
                return None;
            };
            deployment.data.clone_from(&terms.data);
            deployment.commitment =
                terms.commit_usd_month.map(|month| Commitment { contract: contract.as_str().into(), month });
            if let Some(ends) = &terms.ends {
                let Some(last) = date(ends) else {
                    let message = format!("`{ends}` is no date");
                    self.fail(&["contract", contract, "ends"], message, "write it like 2032-12-31");
                    return None;
                };
                // The last day itself still counts.
                deployment.contract_ends = Some(Wall::from_unix(last.unix() + 86_400));
            }
        }
        Some(deployment)
    }

    /// The price that the file states.
    fn price(&mut self, name: &str, written: &RateRow) -> Option<Arc<Tariff>> {
        if written.above.is_some() {
            let hint = "a price that rises with the prompt goes into a file of `[catalog] files`";
            self.fail(&["deployment", name, "price"], "`above` has no meaning here", hint);
            return None;
        }
        Some(Arc::new(Tariff::flat("config", written.price())))
    }

    fn caps(&mut self, name: &str, field: &str, words: &[String]) -> Caps {
        words.iter().fold(Caps::NONE, |caps, word| match Cap::ALL.into_iter().find(|cap| cap.name() == word) {
            Some(cap) => caps.with(cap, true),
            None => {
                let known: Vec<&str> = Cap::ALL.iter().map(|cap| cap.name()).collect();
                let message = format!("unknown capability `{word}` in deployment `{name}`");
                self.fail(&["deployment", name, field], message, format!("known: {}", known.join(", ")));
                caps
            }
        })
    }

    fn remote(
        &mut self,
        mut deployment: Deployment,
        provider: &str,
        written: &DeploymentFile,
        row: &ProviderRow,
    ) -> Option<(Deployment, UnitSpec)> {
        let name = deployment.name.clone();
        let or = |fact: &mut String, default: &str| {
            if fact.is_empty() {
                default.clone_into(fact);
            }
        };
        provider.clone_into(&mut deployment.provider);
        or(&mut deployment.host, row.host.as_deref().unwrap_or(provider));
        let host = deployment.host.clone();
        or(&mut deployment.invoicer, row.invoicer.as_deref().unwrap_or(&host));
        or(&mut deployment.account, row.account.as_deref().unwrap_or(provider));
        let listed = written.listed_as.as_deref().unwrap_or(&deployment.model).to_owned();
        let (catalog, now) = (self.catalog.clone(), self.now);
        let mut tell = |path: &[&str], message, hint| self.say(Severity::Warning, path, message, Some(hint));
        known::fill(&catalog, &mut deployment, (row.listed_as(provider), &listed), now, &mut tell);
        or(&mut deployment.maker, row.maker.as_deref().unwrap_or("unknown"));
        let wire = written.wire.as_deref().or_else(|| row.wires.first().map(String::as_str)).unwrap_or("openai-chat");
        let Some(protocol) = protocol(wire) else {
            let hint = hint_of(wire, protocols().map(|known| known.id().name()));
            self.fail(&["deployment", &name, "wire"], format!("unknown wire `{wire}` in deployment `{name}`"), hint);
            return None;
        };
        deployment.wires = vec![protocol.id()];
        let scheme_name = row.auth.as_deref().unwrap_or("bearer");
        let Some(scheme) = auth::scheme(scheme_name) else {
            let hint = hint_of(scheme_name, auth::SCHEMES.iter().map(|known| known.name()));
            self.fail(&["provider", provider, "auth"], format!("unknown auth scheme `{scheme_name}`"), hint);
            return None;
        };
        let secret = self.secret(provider, row, scheme.needs_secret())?;
        let region = written.region.as_deref();
        let base_url = region.and_then(|region| row.regions.get(region)).or(row.base_url.as_ref())?;
        for (hole, filled, key) in [
            ("{region}", region, ["deployment", &name, "region"]),
            ("{account}", row.account.as_deref(), ["provider", provider, "account"]),
        ] {
            if base_url.contains(hole) && filled.is_none() {
                let message = format!("deployment `{name}` needs `{}`: `{base_url}` has a place for it", key[2]);
                self.fail(&key, message, format!("add `{} = \"…\"` to `[{}.{}]`", key[2], key[0], key[1]));
                return None;
            }
        }
        let base_url = base_url
            .replace("{region}", region.unwrap_or_default())
            .replace("{account}", row.account.as_deref().unwrap_or_default());
        let mut headers = Vec::new();
        for (header, value) in &row.headers {
            match (HeaderName::try_from(header), HeaderValue::try_from(value)) {
                (Ok(header), Ok(value)) => headers.push((header, value)),
                _ => self.fail(
                    &["provider", provider, "headers"],
                    format!("`{header}` is no HTTP header"),
                    "letters, digits and `-`",
                ),
            }
        }
        let target =
            Target { model: deployment.model.clone(), signer: provider.to_owned(), quirks: row.quirks.clone() };
        let login = self.login(provider, &row.login)?;
        let identity = auth::Identity { secret, login, region: region.map(str::to_owned) };
        let config = RemoteConfig { protocol, base_url, target, scheme, identity, headers };
        Some((deployment, UnitSpec::Remote(Box::new(config))))
    }

    /// What a scheme must know besides the key; ids may be references too.
    fn login(&mut self, provider: &str, login: &auth::Login) -> Option<auth::Login> {
        let mut login = login.clone();
        for (name, value) in
            [("tenant", &mut login.tenant), ("client", &mut login.client), ("session", &mut login.session)]
        {
            // Ids may be written out; the token of a session is a secret.
            let is_secret = name == "session";
            let is_reference = |text: &&str| is_secret || text.starts_with("env:") || text.starts_with("file:");
            let Some(reference) = value.as_deref().filter(is_reference) else { continue };
            match secret::resolve(reference) {
                Ok(found) => *value = Some(found.reveal().to_owned()),
                Err(error) => {
                    let message = format!("provider `{provider}` has no `login.{name}`: {error}");
                    let hint = if is_secret {
                        "name it with `env:NAME` or `file:/path`"
                    } else {
                        "set it, or write it out: it is no secret"
                    };
                    self.fail(&["provider", provider, "login", name], message, hint);
                    return None;
                }
            }
        }
        Some(login)
    }

    fn secret(&mut self, provider: &str, row: &ProviderRow, needed: bool) -> Option<auth::Secret> {
        let path = ["provider", provider, "key"];
        match &row.key {
            // A row of the catalog names its key, also when `auth = "none"` stands over it.
            Some(reference) if needed => match secret::resolve(reference) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    let hint = "set it, or name another with `key = \"env:NAME\"` or `key = \"file:/path\"`";
                    self.fail(&path, format!("provider `{provider}` has no key: {error}"), hint);
                    None
                }
            },
            None if needed => {
                let message = format!("provider `{provider}` needs a key");
                self.fail(&path, message, "add `key = \"env:NAME\"`, or `auth = \"none\"` if it needs none");
                None
            }
            _ => Some(auth::Secret::default()),
        }
    }
}

/// What the model inside is called where the deployment does not say: as its file, or as the default model.
fn house_model(house: &HouseFile) -> String {
    let file = house.gguf.as_deref().and_then(|path| path.file_stem()).and_then(|stem| stem.to_str());
    file.unwrap_or("smollm2-135m-instruct").to_owned()
}

/// `did you mean …? known: …`.
fn hint_of<'a>(wrong: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let all: Vec<&str> = known.clone().collect();
    let near = policy::plan::nearest(wrong, known);
    let known = format!("known: {}", all.join(", "));
    match near.first() {
        Some(near) => format!("did you mean `{near}`? {known}"),
        None => known,
    }
}

/// Dollars as written, in billionths; negative and absurd ones are bounded.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn dollars(written: f64) -> NanoUsd {
    NanoUsd((written.clamp(0.0, 1e9) * 1e9).round() as u64)
}
