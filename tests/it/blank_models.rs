//! v2.1: what an authorize request leaves whose answer is unusable or lost. The target chooses the id, so a repetition
//! makes one more blank model.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::support::{
    Authorization, COPY_OF_V2_1, Model, ScriptedService, Step, UnusedHost, V2_1, error_reply, reply, run,
};

const OTHER: &str = "11111111-1111-4111-8111-111111111111";
/// The time of the target: decades from the local one.
const NOW: &str = "2081-05-01T12:00:00Z";

fn now(seconds: i64) -> String {
    format!("{:.0}", NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds))
}

fn dated(answer: ResponseTemplate) -> ResponseTemplate {
    answer.insert_header("Date", "Thu, 01 May 2081 12:00:00 GMT")
}

/// A success without an authorization.
fn unusable(body: &str, location: Option<&str>) -> ResponseTemplate {
    let answer = dated(reply(201)).set_body_raw(body, "application/json");
    match location {
        Some(location) => answer.insert_header("Location", location),
        None => answer,
    }
}

fn blank(created: &str) -> ResponseTemplate {
    dated(Model::blank_v2_1(COPY_OF_V2_1, created).answer())
}

fn service(authorize: ResponseTemplate, model: ResponseTemplate) -> ScriptedService {
    let service = ScriptedService::new(V2_1);
    service.on(Step::Authorize, [authorize]);
    service.on(Step::GetTarget, [model]);
    service
}

fn body() -> String {
    format!(r#"{{"modelId":"{COPY_OF_V2_1}","accessToken":7}}"#)
}

#[test]
fn the_blank_model_of_an_unusable_answer_is_released_by_its_body_or_its_location() {
    let path = V2_1.model(COPY_OF_V2_1);
    for (body, location) in [(body(), None), (String::new(), Some(&*path)), ("<html>".to_owned(), Some(&*path))] {
        let service = service(unusable(&body, location), blank(&now(0)));
        run(&mut service.copy()).expect(1, &["released: the target has deleted the reserved", COPY_OF_V2_1]);
        assert_eq!(service.count(Step::Authorize), 1, "{body}");
        assert_eq!(service.only(Step::Release).line, format!("DELETE {path}"));
    }
    // The whole URL, as the service writes it.
    let service = service(reply(201), blank(&now(0)));
    let url = format!("{}{path}", service.target.uri());
    service.on(Step::Authorize, [unusable("", Some(&url))]);
    run(&mut service.copy()).expect(1, &["released: "]);
    assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 1));
}

#[test]
fn a_model_that_may_not_be_that_of_the_unusable_answer_is_named_and_not_deleted() {
    for model in [
        Model::copy_of_example(V2_1).answer(),
        dated(Model::copy_of_example(V2_1).status("invalid").answer()),
        dated(Model::blank_v2_1(COPY_OF_V2_1, &now(0)).status("invalid").answer()),
        dated(Model::blank_v2_1(COPY_OF_V2_1, &now(0)).status("ready").answer()),
        // By the local clock it is new.
        blank(&format!("{:.0}", Timestamp::now())),
        blank(&now(-3600)),
        Model::not_found(V2_1),
        error_reply(500, "InternalServerError", "No."),
    ] {
        let service = service(unusable(&body(), None), model);
        run(&mut service.copy()).expect(1, &[COPY_OF_V2_1, "may remain reserved"]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 0));
    }
}

#[test]
fn an_unusable_answer_without_an_id_of_the_target_itself_leaves_a_blank_model_of_unknown_id() {
    let unused_host = UnusedHost::new();
    let elsewhere = format!("{}{}", unused_host.url(), V2_1.model(COPY_OF_V2_1));
    for location in [None, Some(&*elsewhere), Some("/"), Some("https://")] {
        let service = service(unusable("", location), blank(&now(0)));
        run(&mut service.copy()).expect(1, &["a blank model may remain on the target"]);
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (1, 0), "{location:?}");
    }
    assert!(unused_host.got_no_connection());
}

/// A list of blank models with these ids and dates.
fn list(models: &[(&str, String)]) -> ResponseTemplate {
    let blank = |(id, created): &(&str, String)| Model::blank_v2_1(id, created).body()["modelInfo"].clone();
    let models: Vec<_> = models.iter().map(blank).collect();
    let summary = json!({"count": models.len(), "limit": 250, "lastUpdatedDateTime": NOW});
    dated(reply(200)).set_body_json(json!({"summary": summary, "modelList": models, "nextLink": ""}))
}

#[test]
fn the_blank_model_of_a_lost_answer_is_named_from_the_list_of_the_target() {
    let own = || (COPY_OF_V2_1, now(1));
    for (answers, listed, text) in [
        (1, vec![own(), (OTHER, now(0))], format!("{OTHER} may remain reserved on the target")),
        // Models of earlier are not meant, whatever the local clock says.
        (1, vec![own(), (OTHER, now(-60))], "a blank model may remain on the target".to_owned()),
        (1, vec![own(), (OTHER, format!("{:.0}", Timestamp::now()))], "a blank model may remain".to_owned()),
        (2, vec![own()], "up to 2 blank models may remain".to_owned()),
    ] {
        let service = ScriptedService::new(V2_1);
        let created = dated(Authorization::answer(V2_1, COPY_OF_V2_1));
        service.on(Step::Authorize, std::iter::repeat_n(dated(reply(504)), answers).chain([created]));
        service.default_answer(list(&listed));
        let output = run(&mut service.copy()).expect(0, &[&text]);
        // The id that this run holds is not one of them.
        let warned = output.stderr.lines().find(|line| line.contains("may remain")).unwrap();
        assert!(!warned.contains(COPY_OF_V2_1), "{output:#?}");
        assert_eq!((service.count(Step::Authorize), service.count(Step::Release)), (answers + 1, 0));
    }
}

#[test]
fn the_blank_model_of_an_unusable_answer_is_not_taken_for_that_of_an_earlier_lost_one() {
    let service = ScriptedService::new(V2_1);
    service.on(Step::Authorize, [dated(reply(504)), unusable(&body(), None)]);
    service.on(Step::GetTarget, [Model::not_found(V2_1)]);
    service.default_answer(list(&[(COPY_OF_V2_1, now(0))]));
    let texts =
        [&format!("{COPY_OF_V2_1} may remain reserved on the target"), "a blank model may remain on the target"];
    run(&mut service.copy()).expect(1, &texts);
}

#[test]
fn several_blank_models_are_named_as_one_of_them() {
    let service = ScriptedService::new(V2_1);
    service.on(Step::Authorize, [dated(reply(504)), dated(Authorization::answer(V2_1, COPY_OF_V2_1))]);
    let another = "22222222-2222-4222-8222-222222222222";
    service.default_answer(list(&[(OTHER, now(0)), (another, now(1))]));
    run(&mut service.copy()).expect(0, &["one of ", OTHER, another]);
    assert_eq!(service.count(Step::Release), 0);
}
