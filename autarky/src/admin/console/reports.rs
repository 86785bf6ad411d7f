//! The reports of the commands, as the pages they are: who the products depend on, and what if.

use super::paper::Html;
use super::{Page, said};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use crate::cmd::register::{self, Files};
use crate::cmd::whatif;
use crate::cmd::window::{self, Window};
use insurance::{exposure, render};
use std::fmt::Display;

pub(super) const EXPOSURE: Page = Page { path: "/console/exposure", title: "Exposure", draw: depends };
pub(super) const SCENARIOS: Page = Page { path: "/console/whatif", title: "What if", draw: scenarios };

fn read(admin: &Admin, query: &Pairs) -> Result<Window, Problem> {
    let since = window::since(said(query, "since").unwrap_or("30d")).map_err(Problem::invalid)?;
    Window::read(&Files::of(admin.config.clone()), since, register::today()).map_err(|error| away(format!("{error:#}")))
}

fn away(error: impl Display) -> Problem {
    Problem::unavailable("report_unavailable", error)
}

fn depends(admin: &Admin, query: &Pairs) -> Result<Html, Problem> {
    Ok(Html::report(&render::html(&exposure(&read(admin, query)?.inputs()))))
}

fn scenarios(admin: &Admin, query: &Pairs) -> Result<Html, Problem> {
    let (boards, notes) = whatif::boards(&read(admin, query)?).map_err(|error| away(format!("{error:#}")))?;
    Ok(Html::report(&render::board_html(&boards, &notes)))
}
