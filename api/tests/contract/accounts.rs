//! Accounts and groups, and what an approval does for an account.

use hulak_testkit_stack::{Answer, Shape, Stack};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

both_shapes!(
    an_account_is_made_read_changed_and_deleted,
    usernames_are_unique_without_regard_to_case,
    a_hundred_claims_to_one_username_make_one_account,
    bad_accounts_are_explained,
    groups_give_permissions,
    an_approval_verifies_the_accounts_number,
    a_number_belongs_to_one_account,
    a_number_verified_by_two_at_once_belongs_to_one,
    a_changed_number_is_not_verified,
    a_deleted_account_is_not_verified,
    accounts_are_their_clients_own,
    an_account_is_made_once_with_one_idempotency_key,
);

pub(crate) const ACCOUNTS: &str = "/v1/accounts";
const GROUPS: &str = "/v1/groups";

async fn request(stack: &Stack, method: Method, path: &str, body: Option<Value>) -> Answer {
    call(stack, stack.key.expose(), method, path, body).await
}

/// Makes an account: its id.
pub(crate) async fn sign_up(stack: &Stack, body: Value) -> String {
    let made = stack.post(ACCOUNTS, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.id()
}

async fn account(stack: &Stack, id: &str) -> Value {
    let found = stack.get(&format!("{ACCOUNTS}/{id}")).await;
    assert_eq!(found.status, 200, "{found:?}");
    found.body
}

/// Verifies a number for an account: the claims of the approval's token.
pub(crate) async fn verify_for(stack: &Stack, account: &str, phone: &str) -> Value {
    let (id, code) =
        begin_sent(stack, json!({"phone": phone, "purpose": "sign_up", "account_id": account})).await;
    let approved = check(stack, &id, &code).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    claims(&approved)
}

/// What an approval token says; whether its signature holds is tested elsewhere.
pub(crate) fn claims(approved: &Answer) -> Value {
    use base64::Engine as _;
    let token = approved.body["token"].as_str().expect("a token");
    let claims = token.split('.').nth(1).expect("three parts");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn an_account_is_made_read_changed_and_deleted(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let made = stack
        .post(
            ACCOUNTS,
            json!({"username": "sita", "first_name": "Sita", "email": "sita@example.com", "phone": "9812345678"}),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("{ACCOUNTS}/{}", made.id());
    assert_eq!((made.header("location"), made.header("cache-control")), (&path[..], "no-store"));
    let now = made.body["created_at"].clone();
    let whole = json!({
        "id": made.id(), "username": "sita", "first_name": "Sita", "last_name": "", "email": "sita@example.com",
        "phone": PHONE, "phone_verified": false, "groups": [], "permissions": [], "is_active": true,
        "created_at": now, "updated_at": now, "last_login_at": null,
    });
    assert_eq!(made.body, whole);
    assert_eq!(stack.get(&path).await.body, whole);

    clock.advance(SECOND);
    let changed = request(
        &stack,
        Method::PATCH,
        &path,
        Some(json!({"last_name": "Devi", "email": null, "is_active": false})),
    )
    .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let mut expected = whole.clone();
    (expected["last_name"], expected["email"], expected["is_active"]) =
        (json!("Devi"), Value::Null, json!(false));
    expected["updated_at"] = changed.body["updated_at"].clone();
    assert_eq!(changed.body, expected);
    assert!(moment(&changed.body["updated_at"]) > moment(&now));
    assert_eq!(request(&stack, Method::PATCH, &path, Some(json!({}))).await.status, 200);

    for query in ["?username=SITA", "?phone=9812345678", "?phone=%2B9779812345678", "", "?limit=1"] {
        let list = stack.get(&format!("{ACCOUNTS}{query}")).await;
        assert_eq!(list.body["data"][0]["username"], "sita", "{query}: {list:?}");
    }
    let none = stack.get(&format!("{ACCOUNTS}?username=gita")).await;
    assert_eq!((none.status, &none.body["data"]), (200, &json!([])));

    assert_eq!(request(&stack, Method::DELETE, &path, None).await.status, 204);
    for method in [Method::GET, Method::DELETE] {
        assert_problem(&request(&stack, method, &path, None).await, 404, "not-found");
    }
    assert_problem(&request(&stack, Method::PATCH, &path, Some(json!({}))).await, 404, "not-found");
    stack.stop().await;
}

async fn usernames_are_unique_without_regard_to_case(shape: Shape) {
    let stack = start(shape).await;
    sign_up(&stack, json!({"username": "Sita"})).await;
    let other = sign_up(&stack, json!({"username": "gita"})).await;
    for taken in ["sita", "SITA", "ｓｉｔａ"] {
        assert_problem(&stack.post(ACCOUNTS, json!({"username": taken})).await, 409, "username-taken");
    }
    let path = format!("{ACCOUNTS}/{other}");
    let taken = request(&stack, Method::PATCH, &path, Some(json!({"username": "sITA"}))).await;
    assert_problem(&taken, 409, "username-taken");
    let own = request(&stack, Method::PATCH, &path, Some(json!({"username": "Gita"}))).await;
    assert_eq!((own.status, &own.body["username"]), (200, &json!("Gita")));
    stack.stop().await;
}

async fn a_hundred_claims_to_one_username_make_one_account(shape: Shape) {
    let stack = start(shape).await;
    let claims = (0..100).map(|n| {
        let name = if n % 2 == 0 { "sita" } else { "SITA" };
        stack.post(ACCOUNTS, json!({"username": name}))
    });
    let mut made = 0;
    for answer in futures_util::future::join_all(claims).await {
        match answer.status {
            201 => made += 1,
            _ => assert_problem(&answer, 409, "username-taken"),
        }
    }
    assert_eq!(made, 1);
    stack.stop().await;
}

async fn bad_accounts_are_explained(shape: Shape) {
    let stack = start(shape).await;
    for (body, field) in [
        (json!({}), "username"),
        (json!({"username": ""}), "username"),
        (json!({"username": "a b"}), "username"),
        (json!({"username": "x".repeat(151)}), "username"),
        (json!({"username": "a", "email": "nobody"}), "email"),
        (json!({"username": "a", "first_name": "a\u{0}"}), "first_name"),
        (json!({"username": "a", "groups": ["none"]}), "groups"),
        (json!({"username": "a", "groups": [""]}), "groups"),
        (json!({"username": "a", "is_active": true}), "is_active"),
        (json!({"username": "a", "phone_verified": true}), "phone_verified"),
    ] {
        let answer = stack.post(ACCOUNTS, body.clone()).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(fields(&answer), [field], "{body}");
    }
    let answer = stack.post(ACCOUNTS, json!({"username": "a", "phone": "12"})).await;
    assert_problem(&answer, 422, "invalid-phone");
    for query in ["?username=a%20b", "?limit=0", "?cursor=x", "?colour=red"] {
        assert_problem(&stack.get(&format!("{ACCOUNTS}{query}")).await, 422, "invalid-request");
    }
    assert_eq!(stack.get(ACCOUNTS).await.body["data"], json!([]), "nothing was made");
    stack.stop().await;
}

async fn groups_give_permissions(shape: Shape) {
    let stack = start(shape).await;
    let group = |name: &str, permissions: Value| {
        stack.post(GROUPS, json!({"name": name, "permissions": permissions}))
    };
    let staff = group("staff", json!(["orders.view", "orders.refund", "orders.view"])).await;
    assert_eq!((staff.status, &staff.body["permissions"]), (201, &json!(["orders.refund", "orders.view"])));
    assert_eq!(group("night shift", json!(["doors.open"])).await.status, 201);
    let id = sign_up(&stack, json!({"username": "sita", "groups": ["staff", "night shift", "staff"]})).await;
    let sita = account(&stack, &id).await;
    assert_eq!(sita["groups"], json!(["night shift", "staff"]));
    assert_eq!(sita["permissions"], json!(["doors.open", "orders.refund", "orders.view"]));

    let replaced = group("staff", json!(["orders.view"])).await;
    assert_eq!((replaced.status, &replaced.body["permissions"]), (200, &json!(["orders.view"])));
    assert_eq!(account(&stack, &id).await["permissions"], json!(["doors.open", "orders.view"]));

    let list = stack.get(GROUPS).await;
    let names: Vec<_> =
        list.body["data"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect();
    assert_eq!(names, ["night shift", "staff"]);
    let path = format!("{GROUPS}/night%20shift");
    assert_eq!(stack.get(&path).await.body["permissions"], json!(["doors.open"]));
    assert_eq!(request(&stack, Method::DELETE, &path, None).await.status, 204);
    assert_problem(&stack.get(&path).await, 404, "not-found");
    assert_problem(&request(&stack, Method::DELETE, &path, None).await, 404, "not-found");
    assert_eq!(account(&stack, &id).await["permissions"], json!(["orders.view"]));

    let path = format!("{ACCOUNTS}/{id}");
    let none = request(&stack, Method::PATCH, &path, Some(json!({"groups": []}))).await;
    assert_eq!((&none.body["groups"], &none.body["permissions"]), (&json!([]), &json!([])));
    for (body, field) in [
        (json!({"permissions": []}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "a", "permissions": ["a b"]}), "permissions"),
    ] {
        let answer = stack.post(GROUPS, body).await;
        assert_problem(&answer, 422, "invalid-request");
        assert_eq!(fields(&answer), [field]);
    }
    stack.stop().await;
}

async fn an_approval_verifies_the_accounts_number(shape: Shape) {
    let stack = start(shape).await;
    stack.post(GROUPS, json!({"name": "staff", "permissions": ["orders.view"]})).await;
    let id = sign_up(&stack, json!({"username": "sita", "groups": ["staff"]})).await;
    let claims = verify_for(&stack, &id, PHONE).await;
    assert_eq!((&claims["account_id"], &claims["username"]), (&json!(id), &json!("sita")));
    assert_eq!((&claims["groups"], &claims["permissions"]), (&json!(["staff"]), &json!(["orders.view"])));
    assert_eq!((&claims["sub"], &claims["purpose"]), (&json!(PHONE), &json!("sign_up")));
    let sita = account(&stack, &id).await;
    assert_eq!((&sita["phone"], &sita["phone_verified"]), (&json!(PHONE), &json!(true)));
    assert_eq!(sita["last_login_at"], Value::Null);
    stack.stop().await;
}

async fn a_number_belongs_to_one_account(shape: Shape) {
    let stack = start(shape).await;
    let sita = sign_up(&stack, json!({"username": "sita"})).await;
    let gita = sign_up(&stack, json!({"username": "gita", "phone": PHONE})).await;
    verify_for(&stack, &sita, PHONE).await;
    let again = stack.post(VERIFICATIONS, json!({"phone": PHONE, "account_id": sita})).await;
    assert_problem(&again, 409, "already-verified");
    let taken = stack.post(VERIFICATIONS, json!({"phone": PHONE, "account_id": gita})).await;
    assert_problem(&taken, 409, "phone-taken");
    let nobodys = json!({"phone": PHONE, "account_id": "0199a000-0000-7000-8000-000000000000"});
    let unknown = stack.post(VERIFICATIONS, nobodys).await;
    assert_problem(&unknown, 422, "invalid-request");
    assert_eq!(fields(&unknown), ["account_id"]);
    assert_eq!(account(&stack, &gita).await["phone_verified"], false);
    // Without an account it is a number like any other.
    let (number, _) = number_only(&stack).await;
    assert_eq!(number["status"], "pending");
    stack.stop().await;
}

async fn number_only(stack: &Stack) -> (Value, String) {
    let begun = begin(stack, json!({"phone": OTHER_PHONE, "purpose": "sign_up"})).await;
    (begun.body.clone(), begun.id())
}

/// Two verifications of one number for two accounts are under way; the first approval takes it.
async fn a_number_verified_by_two_at_once_belongs_to_one(shape: Shape) {
    let (stack, clock) = frozen(shape).await;
    let mut begun = Vec::new();
    for name in ["sita", "gita"] {
        let account = sign_up(&stack, json!({"username": name})).await;
        let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "account_id": account})).await;
        begun.push((account, id, code));
        clock.advance(COOLDOWN);
    }
    let checks = begun.iter().map(|(_, id, code)| check(&stack, id, code));
    let mut answers = futures_util::future::join_all(checks).await;
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, 200, "{answers:?}");
    assert_problem(&answers[1], 409, "phone-taken");
    let mut verified = Vec::new();
    for (account_id, ..) in &begun {
        verified.push(account(&stack, account_id).await["phone_verified"].clone());
    }
    verified.sort_by_key(|value| value.as_bool());
    assert_eq!(verified, [false, true]);
    stack.stop().await;
}

async fn a_changed_number_is_not_verified(shape: Shape) {
    let stack = start(shape).await;
    let id = sign_up(&stack, json!({"username": "sita"})).await;
    verify_for(&stack, &id, PHONE).await;
    let path = format!("{ACCOUNTS}/{id}");
    let same = request(&stack, Method::PATCH, &path, Some(json!({"phone": "981-2345678"}))).await;
    assert_eq!(same.body["phone_verified"], true, "the same number, spelled otherwise");
    let other = request(&stack, Method::PATCH, &path, Some(json!({"phone": OTHER_PHONE}))).await;
    assert_eq!((&other.body["phone"], &other.body["phone_verified"]), (&json!(OTHER_PHONE), &json!(false)));
    let none = request(&stack, Method::PATCH, &path, Some(json!({"phone": null}))).await;
    assert_eq!((&none.body["phone"], &none.body["phone_verified"]), (&Value::Null, &json!(false)));
    stack.stop().await;
}

async fn a_deleted_account_is_not_verified(shape: Shape) {
    let stack = start(shape).await;
    let account = sign_up(&stack, json!({"username": "sita"})).await;
    let (id, code) = begin_sent(&stack, json!({"phone": PHONE, "account_id": account})).await;
    assert_eq!(request(&stack, Method::DELETE, &format!("{ACCOUNTS}/{account}"), None).await.status, 204);
    assert_problem(&check(&stack, &id, &code).await, 409, "verification-canceled");
    assert_eq!(stack.get(&format!("{VERIFICATIONS}/{id}")).await.body["status"], "canceled");
    stack.stop().await;
}

async fn accounts_are_their_clients_own(shape: Shape) {
    let stack = start(shape).await;
    let id = sign_up(&stack, json!({"username": "sita"})).await;
    stack.post(GROUPS, json!({"name": "staff"})).await;
    let stranger = another_client(&stack, "stranger").await;
    let strange = async |method, path: &str, body| call(&stack, stranger.expose(), method, path, body).await;
    let path = format!("{ACCOUNTS}/{id}");
    for (method, body) in [(Method::GET, None), (Method::PATCH, Some(json!({}))), (Method::DELETE, None)] {
        assert_problem(&strange(method, &path, body).await, 404, "not-found");
    }
    for method in [Method::GET, Method::DELETE] {
        assert_problem(&strange(method, "/v1/groups/staff", None).await, 404, "not-found");
    }
    for list in [ACCOUNTS, GROUPS] {
        assert_eq!(strange(Method::GET, list, None).await.body["data"], json!([]), "{list}");
    }
    let group = strange(Method::POST, ACCOUNTS, Some(json!({"username": "gita", "groups": ["staff"]}))).await;
    assert_eq!(fields(&group), ["groups"]);
    let body = json!({"phone": PHONE, "account_id": id});
    assert_eq!(fields(&strange(Method::POST, VERIFICATIONS, Some(body)).await), ["account_id"]);
    // Names and numbers of one client are free in another.
    assert_eq!(strange(Method::POST, ACCOUNTS, Some(json!({"username": "sita"}))).await.status, 201);
    let token =
        begin(&stack, json!({"phone": PHONE})).await.body["client_token"].as_str().unwrap().to_owned();
    for path in [ACCOUNTS, GROUPS, &path] {
        assert_problem(&call(&stack, &token, Method::GET, path, None).await, 403, "forbidden");
    }
    stack.stop().await;
}

async fn an_account_is_made_once_with_one_idempotency_key(shape: Shape) {
    let stack = start(shape).await;
    let post = |path: &str, body: Value| {
        Answer::of(stack.request(Method::POST, path).header("idempotency-key", "one").json(&body))
    };
    let first = post(ACCOUNTS, json!({"username": "sita"})).await;
    let again = post(ACCOUNTS, json!({"username": "sita"})).await;
    assert_eq!((first.status, again.status), (201, 201), "{again:?}");
    assert_eq!(
        (first.body.clone(), first.header("location")),
        (again.body.clone(), again.header("location"))
    );
    let other = post(ACCOUNTS, json!({"username": "gita"})).await;
    assert_problem(&other, 422, "idempotency-key-reused");
    for _ in 0..2 {
        assert_eq!(post(GROUPS, json!({"name": "staff"})).await.status, 201);
    }
    stack.stop().await;
}
